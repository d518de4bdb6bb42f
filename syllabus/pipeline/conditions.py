"""Conditions on a column, as ``--where`` gives them: ``split=train``, ``tokens<=512``, ``lang in de,fr``."""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass

OPERATORS = ("=", "!=", "<", "<=", ">", ">=", "in")
_OPERATOR = re.compile(r"<=|>=|!=|=|<|>| in (?=.*\S)")


@dataclass(frozen=True)
class Condition:
    """What a row's value in `column` must be; `values` has one text, with ``in`` one or more."""

    column: str
    operator: str
    values: tuple[str, ...]

    @property
    def for_key(self) -> list[str]:
        """What keys of shards hold; of an equality column and value alone, as they always have."""
        return [self.column, *([] if self.operator == "=" else [self.operator]), *self.values]

    def __str__(self) -> str:
        between = f" {self.operator} " if self.operator == "in" else self.operator
        shown = [f'"{value}"' if "," in value else value for value in self.values]
        return f"{self.column}{between}{','.join(shown if self.operator == 'in' else self.values)}"


def parse_condition(text: str) -> Condition:
    """Return the condition that `text` spells: the first operator in it counts.

    Spaces around an operator are left out; those of ``COLUMN= VALUE`` belong to the value, since there is
    none before the sign. A value of a list that holds a comma stands in double quotes.

    Raises:
      ValueError: there is no operator, no column before it, or an empty list after it.
    """
    found = _OPERATOR.search(text)
    if found is None or not text[: found.start()].strip():
        raise ValueError(f"{text!r:.100} is not COLUMN=VALUE, nor one with {', '.join(OPERATORS[1:])}")
    column, operator, value = text[: found.start()], found.group().strip(), text[found.end() :]
    if operator == "in":
        try:
            values = tuple(dict.fromkeys(next(csv.reader([value], skipinitialspace=True), [])))
        except csv.Error as error:
            raise ValueError(f"{text!r:.100}: the list cannot be read: {error}") from None
        return Condition(column.strip(), operator, tuple(each.strip() for each in values))
    if operator != "=" or column.endswith(" "):
        column, value = column.strip(), value.strip()
    return Condition(column, operator, (value,))
