"""How tasks share one network."""
