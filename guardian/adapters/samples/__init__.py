"""Files of samples for `guardian judge`: CSV and Parquet."""
