"""The one error of this room."""


class TrainerError(ValueError):
    """Something cannot be trained as asked; the message names the item, its value and the bound."""
