"""Writing a manifest, whole or not at all."""
