"""Mutants that leave a field out of the key of a shard, generated from the code that makes the keys.

Looked through are the functions that call `key_of`, or `key` of a search, and those that give them fields.
Left out is each keyword of such a call, each entry of a dict, each item of a list or tuple of names, and each
field that is set afterwards.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

STAGES = "syllabus/pipeline/stages"
MAKERS = {"key_of"}
"""Functions whose result is a key; `key` is the method of a search by neighbours."""
GIVERS = {"_rows_of", "_filter", "_read", "_read_of_parts", "make_groups", "vectors_of_plan", "digest"}
"""Functions that give fields to keys made elsewhere."""
SAME = {
    ("neighbours/all_pairs.py", "block"): "a constant of the code, of use to other versions",
    ("neighbours/holdout.py", "rows"): "a constant of the code, of use to other versions",
    ("neighbours/cover.py", "pairs"): "a constant of the code, of use to other versions",
    ("neighbours/cover.py", "sample"): "drawn by number and from groups, which the search determines",
    ("census.py", "label"): "the plan's digest is made of keys that hold it",
    ("census.py", "id"): "the plan's digest is made of keys that hold it",
    ("transform.py", "label"): "the plan's digest is made of keys that hold it",
    ("transform.py", "id"): "the plan's digest is made of keys that hold it",
    ("transform.py", "**{} if clusters is None else _by_gpu(options)"): "empty where there is no GPU",
    ("neighbours/coarse_quantizer.py", "**by_gpu"): "empty where there is no GPU",
    ("guide.py", "fitted"): "the digest is of the rows after the transform",
    ("select/selecting.py", "'seed'"): "the digest of the groups, whose keys hold it",
    ("select/selecting.py", "OVERSAMPLING"): "a constant of the code, of use to other versions",
    ("select/selecting.py", "SERVED"): "a constant of the code, of use to other versions",
    ("order/stage.py", "'seed'"): "the digest of the groups, whose keys hold it",
    ("regroup/stage.py", "'edges'"): "the names of bins hold their edges",
    ("plan.py", "kind"): "the names of the limits are those of its kind",
}  # fmt: skip
"""Fields that others of the same key determine: without them nothing is stale. (file, field) and why."""


def fields(root: Path) -> Iterator[tuple[str, int, str, str, str, str | None]]:
    """Yield (file, line, field, code before, code after, why it is the same) of every field of a key."""
    for path in sorted((root / STAGES).rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        if "key_of" not in text and ".key(" not in text:
            continue
        name = str(path.relative_to(root))
        for function in ast.walk(ast.parse(text)):
            if isinstance(function, ast.FunctionDef) and (function.name in GIVERS or _makes_keys(function)):
                for node, field, instead in _parts(function):
                    before, after = text, _replaced(text, node, instead)
                    reason = SAME.get((name.removeprefix(f"{STAGES}/"), field))
                    yield name, node.lineno, field, before, after, reason


def _makes_keys(function: ast.FunctionDef) -> bool:
    return any(_is_key(node) for node in ast.walk(function))


def _is_key(node: ast.AST) -> bool:
    if not isinstance(node, ast.Call):
        return False
    called = node.func
    if isinstance(called, ast.Attribute) and called.attr == "key":
        return bool(node.args)  # the stage comes first
    return isinstance(called, ast.Name) and called.id in MAKERS


def _parts(function: ast.FunctionDef) -> Iterator[tuple[ast.expr | ast.stmt | ast.keyword, str, str]]:
    """Yield (node, field, what stands for it when it is left out)."""
    within = function.name in GIVERS or function.name.endswith("key")
    for node in ast.walk(function):
        if isinstance(node, ast.Call) and _is_key(node):
            for keyword in node.keywords:
                yield keyword, keyword.arg or ast.unparse(keyword), "**{}"
        elif not within:
            continue
        elif isinstance(node, ast.Dict):
            for key, value in zip(node.keys, node.values, strict=True):
                if key is not None and isinstance(key, ast.Constant):
                    whole = ast.copy_location(ast.Constant(None), key)
                    whole.end_lineno, whole.end_col_offset = value.end_lineno, value.end_col_offset
                    yield whole, repr(key.value), "**{}"
        elif isinstance(node, ast.Tuple) and all(isinstance(item, ast.Constant) for item in node.elts):
            for item in node.elts:
                yield item, ast.unparse(item), "*()"
        elif isinstance(node, ast.List):
            for item in node.elts:
                if not isinstance(item, (ast.List, ast.JoinedStr)):
                    yield item, ast.unparse(item), "*()"
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Subscript):
            yield node, ast.unparse(node.targets[0]), "pass"


def _replaced(text: str, node: ast.expr | ast.stmt | ast.keyword, instead: str) -> str:
    """Return the text with a node's own replaced; columns count bytes."""
    lines = text.encode().splitlines(keepends=True)
    first, last = node.lineno - 1, (node.end_lineno or node.lineno) - 1
    start = sum(map(len, lines[:first])) + node.col_offset
    stop = sum(map(len, lines[:last])) + (node.end_col_offset or 0)
    whole = text.encode()
    return (whole[:start] + instead.encode() + whole[stop:]).decode()
