"""Where deploy events come from and decisions go to."""
