"""Paths and URLs taken apart: what follows the path of a URL, such as an endpoint, stays behind it."""


def parent_and_name(location: str) -> tuple[str, str]:
    """Return the directory that holds `location`, readable as it is, and the name in it."""
    path, query = _split(location)
    directory, _, name = path.rpartition("/")
    return (directory or "/") + query, name


def with_suffix(location: str, suffix: str) -> str:
    """Return the location beside `location` whose name has `suffix` behind it."""
    path, query = _split(location)
    return path.rstrip("/") + suffix + query


def _split(location: str) -> tuple[str, str]:
    path, mark, query = location.partition("?" if "://" in location else "\0")
    return path, mark + query
