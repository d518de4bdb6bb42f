"""Checking a manifest: every hash, order and budget."""
