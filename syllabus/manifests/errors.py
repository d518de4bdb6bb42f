"""The one error of this room."""


class ManifestError(ValueError):
    """A manifest that cannot be read or written as asked; the message names the file and what is wrong."""
