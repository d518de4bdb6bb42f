"""Select: easy subsets and importances of each bucket."""
