"""What moves traffic between tracks."""
