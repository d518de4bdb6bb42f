"""Nearest neighbours: suspect labels, near-duplicates, and test data that the training data hold already."""
