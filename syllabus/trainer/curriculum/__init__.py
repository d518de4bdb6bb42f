"""Curricula: which examples an epoch has."""
