"""Beam runners and the worker process."""
