"""`SelectionError`, the one error of this room."""


class SelectionError(ValueError):
    """Input that cannot be selected from as asked; one line that names the item, the value and the bound."""
