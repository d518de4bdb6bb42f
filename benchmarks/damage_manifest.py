"""Random damage to the bytes of committed manifests: whoever reads one finds it, or is not touched by it.

A reader that reads other parts, or other pages of the part, gets what it would get without the damage.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
from damage import Attempt
from manifest_consumers import Consumers


class Damage:
    """Two manifests, damaged in one file or two."""

    def __init__(self, folder: Path) -> None:
        self._consumers = Consumers(folder)
        self._copy = folder / "copy"

    def attempt(self, random: np.random.Generator) -> Attempt:
        """Damage a copy and have everybody read it."""
        undamaged = self._consumers.manifests[int(random.integers(2))]
        shutil.rmtree(self._copy, ignore_errors=True)
        shutil.copytree(undamaged, self._copy)
        files = sorted(path for path in self._copy.rglob("*") if path.is_file())
        file = files[int(random.integers(len(files)))]
        done = damage_bytes(file, files, random)
        changed = any(path.read_bytes() != self._before(path, undamaged) for path in files if path.exists())
        changed |= not all(path.exists() for path in files)
        outcomes = self._consumers.outcomes(self._copy, undamaged)
        said = "\n".join(f"  {name}: {kind}: {line[:300]}" for name, (kind, line) in outcomes.items())
        done = f"{undamaged.name}: {file.relative_to(self._copy)}: {done}"
        kinds = {kind for kind, _ in outcomes.values()}
        if "traceback" in kinds:
            return Attempt(done, "traceback", said)
        # What is read is right or refused, and validation finds every byte.
        if "other" in kinds or (changed and outcomes["validate"][0] != "found"):
            return Attempt(done, "silent", said)
        return Attempt(done, "found" if changed else "harmless", said)

    def _before(self, path: Path, undamaged: Path) -> bytes:
        return (undamaged / path.relative_to(self._copy)).read_bytes()


def damage_bytes(file: Path, files: list[Path], random: np.random.Generator) -> str:
    """Damage a file in one of ten ways; return which."""
    content = bytearray(file.read_bytes())
    size = len(content)
    start = int(random.integers(size))
    length = int(min(size - start, random.integers(1, 1 + max(1, size // 4))))
    way = int(random.integers(10))
    if way == 0:
        content[start] ^= 1 << int(random.integers(8))
        done = f"one bit of byte {start}"
    elif way == 1:
        content[start : start + length] = bytes(length)
        done = f"{length} zeros at {start}"
    elif way == 2:
        content[start : start + length] = random.bytes(length)
        done = f"{length} random bytes at {start}"
    elif way == 3:
        del content[start:]
        done = f"cut to {start} bytes"
    elif way == 4:
        content += random.bytes(length)
        done = f"{length} bytes more"
    elif way == 5:
        del content[start : start + length]
        done = f"{length} bytes at {start} left out"
    elif way == 6:
        other = files[int(random.integers(len(files)))]
        content = bytearray(other.read_bytes())
        done = f"is {other.name} of {other.parent.name}"
    elif way == 7:
        file.unlink()
        return "is missing"
    elif way == 8:
        # Where numbers of rows and places of pages are.
        place = int(max(0, size - 1 - random.integers(min(size, 2000))))
        content[place] = int(random.integers(256))
        done = f"another byte {size - place} from the end"
    else:
        half = size // 2
        content = content[half:] + content[:half]
        done = "its halves exchanged"
    file.write_bytes(content)
    return done
