"""Print the project's requirements at one end of their ranges: `python tests/ends.py lowest | latest`.

`lowest` pins each to its lower bound, `latest` leaves the upper bounds away.
"""

from __future__ import annotations

import sys
from pathlib import Path

from packaging.requirements import Requirement

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

EXTRAS = ("pipeline", "cpu", "report", "umap")


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
    # The tools of the tests are no end of anything: with `lowest` they are what goes with the rest.
    project = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    own = [*project["dependencies"], *(text for extra in EXTRAS for text in extras[extra])]
    tools = extras["dev"] if end == "lowest" else [at(end, text) for text in extras["dev"]]
    print("\n".join(sorted({*(at(end, text) for text in own), *tools})))


if __name__ == "__main__":
    main()
