"""Orders: in which order an epoch's examples come."""
