"""The flags of ``prepare``: made from the fields of `Options`, so that no name is written twice."""

import inspect
from collections.abc import Callable
from typing import Annotated, Any, get_args, get_origin

import typer

from syllabus.pipeline.options import LOCATIONS, Options, choices

NOT_FLAGS = ("runner_options",)
METAVARS = {
    **dict.fromkeys(LOCATIONS, "PATH"),
    **dict.fromkeys(("text", "image", "embedding", "label", "id", "weight"), "COLUMN"),
    "where": "CONDITION",
}

BOUNDS = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}


def with_flags(command: Callable[..., None]) -> Callable[..., None]:
    """Return `command` with its ``**flags`` spelled out: one flag for each option, None where not given."""
    signature = inspect.signature(command)
    own = [p for p in signature.parameters.values() if p.kind is not inspect.Parameter.VAR_KEYWORD]
    flags = [_flag(name) for name in Options.model_fields if name not in NOT_FLAGS]
    command.__signature__ = signature.replace(parameters=[*own, *flags])  # type: ignore[attr-defined]
    command.__annotations__ = {p.name: p.annotation for p in [*own, *flags]}
    return command


def _flag(name: str) -> inspect.Parameter:
    field = Options.model_fields[name]
    kind: Any = field.annotation
    many = get_origin(kind) is tuple
    if many or type(None) in get_args(kind):
        kind = get_args(kind)[0]
    kind = kind if kind in (int, float, bool) else str
    flag = "--" + name.replace("_", "-")
    if kind is bool:
        flag = f"{flag}/--no-{flag[2:]}"
    metavar = METAVARS.get(name, {int: "INT", float: "FLOAT", bool: None}.get(kind, "NAME"))
    option = typer.Option(flag, help=_help(name, many), show_default=False, metavar=metavar)
    annotation = Annotated[(list[kind] if many else kind) | None, option]  # type: ignore[valid-type]
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)


def _help(name: str, many: bool) -> str:
    field = Options.model_fields[name]
    text = (field.description or "").removesuffix(".")
    allowed = choices(name)
    text += f": {' or '.join(allowed)}." if allowed else "." if not text.endswith("]") else ""
    bounds, default = _bounds(field.metadata), None if field.is_required() else field.get_default()
    if default is None or default is False or default == ():
        if bounds and text.endswith("]"):
            return text.replace(" [default:", f" [{bounds}; default:")
        return f"{text} [{bounds}]" if bounds else text
    shown = (
        " ".join(map(str, default)) if many else round(default, 4) if isinstance(default, float) else default
    )
    return f"{text} [{bounds}; default: {shown}]" if bounds else f"{text} [default: {shown}]"


def _bounds(metadata: list[Any]) -> str:
    """The bounds of a number, as the help says them."""
    found = {sign: getattr(each, sign) for each in metadata for sign in BOUNDS if hasattr(each, sign)}
    if set(found) == {"ge", "le"}:
        return f"{_number(found['ge'])} to {_number(found['le'])}"
    return ", ".join(f"{BOUNDS[sign]} {_number(value)}" for sign, value in found.items())


def _number(value: float) -> str:
    if value > 2**16 and value == 2 ** (exponent := int(value).bit_length() - 1):
        return f"2^{exponent}"
    return f"{value:,.15g}"
