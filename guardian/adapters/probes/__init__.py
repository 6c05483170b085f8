"""What asks once whether something answers as it should."""
