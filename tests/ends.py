"""Print the project's requirements at one end of their ranges: `python tests/ends.py lowest | latest`.

`lowest` pins each to its lower bound, `latest` leaves the upper bounds away. Pins of tools stay.
"""

from __future__ import annotations

import sys
from pathlib import Path

from packaging.requirements import Requirement

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

EXTRAS = ("pipeline", "cpu", "report", "dev")


def at(end: str, text: str) -> str:
    """Return a requirement at one end of its range."""
    requirement = Requirement(text)
    bounds = {each.operator: each.version for each in requirement.specifier}
    if ">=" in bounds:
        kept = f"=={bounds['>=']}" if end == "lowest" else f">={bounds['>=']}"
        requirement.specifier = type(requirement.specifier)(kept)
    return str(requirement)


def main() -> None:
    end = sys.argv[1] if len(sys.argv) == 2 else ""
    if end not in ("lowest", "latest"):
        sys.exit("usage: python tests/ends.py lowest | latest")
    project = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text())["project"]
    groups = [project["dependencies"], *(project["optional-dependencies"][extra] for extra in EXTRAS)]
    print("\n".join(sorted({at(end, text) for group in groups for text in group})))


if __name__ == "__main__":
    main()
