"""What changes revisions and replicas."""
