"""Optimisers: how a good set is found."""
