"""Data hygiene: nearest neighbours, near-duplicates, and test data that the training data hold already."""
