"""A world to try policies in: services, users, faults and the ground truth, in virtual time."""
