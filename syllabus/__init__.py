"""Choose what a model sees, and in which order, before it is trained."""

__version__ = "0.1.0"
