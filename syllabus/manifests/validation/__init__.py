"""Validation of manifests: every digest, sort order and budget."""
