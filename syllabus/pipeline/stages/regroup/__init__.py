"""Regroup: vectors rewritten by partition and bucket."""
