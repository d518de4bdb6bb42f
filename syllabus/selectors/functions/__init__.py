"""Set functions: what makes a set good. One a file."""
