"""Commit: the shards of all stages written as one manifest."""
