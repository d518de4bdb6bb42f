"""Readers of manifests: slices and streams of tables, never a whole one unasked."""
