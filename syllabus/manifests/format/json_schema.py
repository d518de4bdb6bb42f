"""The JSON Schema of manifest.json, the one definition of its keys and types, and documents checked by it."""

import json
from collections.abc import Callable, Iterator
from functools import cache
from importlib import resources
from typing import Any

# What a value must be where it breaks a rule of that name; {} is the rule's value.
_EXPECTED = {
    "minimum": "at least {}",
    "maximum": "at most {}",
    "exclusiveMinimum": "above {}",
    "minItems": "at least {} items",
    "maxItems": "at most {} items",
    "maxLength": "at most {} characters",
}


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of manifest.json."""
    file = resources.files("syllabus.manifests.format").joinpath("manifest.schema.json")
    schema: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return schema


def violations(content: bytes) -> list[str]:
    """Return one line for each place where a JSON object breaks the schema: key, value, what was expected.

    Cost: under a millisecond; the first call in a process compiles the schema, 12 ms, and the first one that
    finds something compiles it again, 50 ms.
    """
    import fastjsonschema

    document = json.loads(content, parse_float=_Real)
    try:
        _validator(detailed=False)(document)
    except fastjsonschema.JsonSchemaException as first:
        try:
            _validator(detailed=True)(document)
        except fastjsonschema.JsonSchemaValuesException as found:
            return list(dict.fromkeys(line for error in found.errors for line in _lines(error)))
        return [str(first)]
    return []


class _Real(float):
    """A number written with a point or an exponent: no integer here, though JSON Schema takes 1.0 for one."""

    def is_integer(self) -> bool:
        return False


@cache
def _validator(detailed: bool) -> Callable[[Any], Any]:
    """Return a function that raises what breaks the schema: in detail all of it, else the first, faster."""
    # Imported and compiled when a document is read, not with the room. Without details the library cannot
    # compile `const`, and it passes over what stands beside `$ref`: the schema has neither.
    import fastjsonschema

    compiled: Callable[[Any], Any] = fastjsonschema.compile(
        json_schema(),
        use_default=False,
        use_formats=False,
        detailed_exceptions=detailed,
        fast_fail=not detailed,
    )
    return compiled


def _lines(error: Any) -> Iterator[str]:
    # Keys are anybody's: a line break in one must not break the line.
    where = repr(error.name)[1:-1].removeprefix("data").removeprefix(".")
    rule, value = error.rule, error.definition[error.rule]
    if rule == "required":
        missing = [key for key in value if key not in error.value]
        yield from (f"the key {where}{'.' if where else ''}{key} is missing" for key in missing)
        return
    if rule in ("type", "enum"):
        expected = " or ".join(map(str, value if isinstance(value, list) else [value]))
    elif rule == "pattern":
        expected = error.definition["title"]
    else:
        expected = _EXPECTED[rule].format(value)
    yield f"{where} is {error.value!r:.40}; expected {expected}"
