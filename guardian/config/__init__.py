"""What users write (policies, guardian.yaml) becomes frozen values here; pydantic stays on this edge."""
