"""The error class of manifests, and the first line of another library's error."""


class ManifestError(ValueError):
    """A manifest that cannot be read or written as asked; the message names the file and what is wrong."""


class NoManifestError(ManifestError):
    """A place that holds no manifest, or one of a newer format: a damaged one is a plain `ManifestError`."""


def first_line(error: BaseException) -> str:
    """Return the first line that is not blank of an error's message; of an empty one the error's class name.

    For errors of other libraries, which a message of ours quotes in one line.
    """
    return next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
