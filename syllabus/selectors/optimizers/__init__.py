"""Optimizers: how a good set is found."""
