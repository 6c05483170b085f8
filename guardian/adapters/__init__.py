"""What speaks with the world outside: one folder a port, one file a vendor; none knows another."""
