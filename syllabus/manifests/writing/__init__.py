"""Writers of manifests: whole or not at all."""
