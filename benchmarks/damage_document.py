"""Random changes of manifest.json by somebody who knows how its digest is made.

Whoever reads the manifest then says in one line what is wrong, or reads it: with what is described otherwise,
but with examples that are there, and in no more memory than before.
"""

from __future__ import annotations

import copy
import hashlib
import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from damage import Attempt
from manifest_consumers import Consumers

DIGEST = "document_sha256"
LARGE = (10**9, 2**31, 2**53, 2**63, 10**30, 10**400)
ODD = (
    float("nan"),
    float("inf"),
    -1,
    0,
    1,
    True,
    False,
    None,
    "",
    "x",
    "a\nb",
    "\ud800",
    0.5,
    -0.0,
    1e308,
    1e-320,
)


class Damage:
    """Two manifests, each with one to three changes of its document."""

    def __init__(self, folder: Path) -> None:
        self._consumers = Consumers(folder)
        self._copy = folder / "copy"

    def attempt(self, random: np.random.Generator) -> Attempt:
        """Change a copy's document and have everybody read it."""
        undamaged = self._consumers.manifests[int(random.integers(2))]
        shutil.rmtree(self._copy, ignore_errors=True)
        shutil.copytree(undamaged, self._copy)
        before = json.loads((undamaged / "manifest.json").read_text())
        document = copy.deepcopy(before)
        count = int(random.choice([1, 1, 1, 2, 3]))
        done = [
            grow(document, random) if random.random() < 0.1 else change(document, random)
            for _ in range(count)
        ]
        text = dumped(document)
        if random.random() < 0.1:
            text, more = disturb(text, random)
            done.append(more)
        content = signed(text)
        (self._copy / "manifest.json").write_bytes(content)
        outcomes = self._consumers.outcomes(self._copy, undamaged)
        said = "\n".join(f"  {name}: {kind}: {line[:300]}" for name, (kind, line) in outcomes.items())
        kinds = {kind for kind, _ in outcomes.values()}
        told = f"{undamaged.name}: {'; '.join(done)}"
        if "traceback" in kinds:
            return Attempt(told, "traceback", said)
        # The tables are as they were: who reads them reads the same, or nothing.
        if outcomes["read"][0] == "other" or outcomes["lookup"][0] == "other":
            return Attempt(told, "silent", said)
        return Attempt(told, "found" if "found" in kinds else "harmless", said)


def change(document: dict[str, Any], random: np.random.Generator) -> str:
    """Change one random place; return what was done."""
    spots = list(places(document))
    path = spots[int(random.integers(len(spots)))]
    holder = document
    for key in path[:-1]:
        holder = holder[key]
    key, value = path[-1], holder[path[-1]]
    where = "".join(f"[{each!r}]" for each in path)
    way = int(random.integers(9))
    if way == 0:
        del holder[key]
        return f"{where} deleted"
    if way == 1:
        made: Any = LARGE[int(random.integers(len(LARGE)))] * int(random.choice([-1, 1, 1]))
    elif way == 2:
        made = ODD[int(random.integers(len(ODD)))]
    elif way == 3:
        made = [value, {"x": value}, [value] * 3, [], {}, str(value)][int(random.integers(6))]
    elif way == 4:
        other = spots[int(random.integers(len(spots)))]
        made = document
        for each in other:
            made = made[each]
        made = copy.deepcopy(made)
    elif way == 5:
        made = "long" * 10**6 if random.random() < 0.2 else "long" * 20_000
    elif way == 6:
        made = f"nested {random.choice([5, 40, 3000, 100_000])}"
    elif way == 7 and isinstance(value, (int, float)):
        made = value + int(random.choice([-1, 1, 1000]))
    elif isinstance(holder, dict):
        holder[f"{key}\n"] = holder.pop(key)
        return f"{where} renamed"
    else:
        holder.append(copy.deepcopy(value))
        return f"{where} repeated"
    holder[key] = made
    return f"{where} = {shown(made)}"


def grow(document: dict[str, Any], random: np.random.Generator) -> str:
    """Have all that says how many examples there are agree on far more."""
    factor = int(random.choice([2, 10**4, 10**7]))
    counts = document.get("counts")
    if not isinstance(counts, dict) or not isinstance(counts.get("accepted"), int):
        return "nothing to grow"
    for name in ("accepted", "source_rows"):
        if isinstance(counts.get(name), int):
            counts[name] *= factor
    for section in document.get("partitions") or (), document.get("files") or ():
        for entry in section:
            if isinstance(entry, dict) and not str(entry.get("path")).startswith(("subsets", "rejects")):
                for name in ("examples", "rows", "weight"):
                    if isinstance(entry.get(name), int):
                        entry[name] *= factor
    if isinstance(document.get("weight"), dict):
        document["weight"]["total"] *= factor
    fingerprint = document.get("fingerprint")
    if isinstance(fingerprint, dict):
        fingerprint["block_rows"] = 2**53
    if random.random() < 0.5:
        document["subsets"] = []
        for entry in document.get("files") or ():
            if isinstance(entry, dict) and str(entry.get("path")).startswith("subsets"):
                entry["rows"] = 0
    return f"everything {factor} times as large"


def disturb(text: str, random: np.random.Generator) -> tuple[str, str]:
    """Change the text as no writer of JSON would."""
    if random.random() < 0.5:
        return text.replace("{", '{"format": "another",', 1), "a key twice"
    lines = text.splitlines(keepends=True)
    place = int(random.integers(len(lines)))
    lines.insert(place, lines[int(random.integers(len(lines)))])
    return "".join(lines), f"line {place} of another place"


def places(value: Any, path: tuple[Any, ...] = ()) -> Any:
    """Every place in a document, but that of its digest."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in inner:
        if key != DIGEST and len(path) < 8:
            yield (*path, key)
            yield from places(each, (*path, key))


def dumped(document: dict[str, Any]) -> str:
    """The document as text; what is nested deeper than it could be written is put in there."""
    text = json.dumps({**document, DIGEST: "0" * 64}, indent=1, sort_keys=True)
    return re.sub(r'"nested (\d+)"', lambda found: int(found[1]) * "[" + int(found[1]) * "]", text)


def signed(text: str) -> bytes:
    """The bytes with the digest that is theirs."""
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
    return text.replace(f'"{DIGEST}": "{"0" * 64}"', f'"{DIGEST}": "{digest}"', 1).encode(
        "utf-8", "surrogatepass"
    )


def shown(value: Any) -> str:
    """The beginning of a value's text."""
    return f"about 10^{len(str(value))}" if isinstance(value, int) and value > 10**9 else repr(value)[:60]
