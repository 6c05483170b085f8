"""Every shipped scenario under the guardian and under the rules of other systems, on the same seeds."""
