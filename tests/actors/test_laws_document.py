"""The document of the runtime's laws and the tests that show them belong together."""

from __future__ import annotations

import ast
import re
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
TEXT = (REPOSITORY / "docs" / "runtime-semantics.md").read_text(encoding="utf8")
NAMED = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")


def _functions_of(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf8"))
    functions = [each for each in tree.body if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)]
    return {each.name for each in functions}


def test_every_test_that_the_document_names_exists() -> None:
    """A law whose test was renamed or removed is a claim."""
    named = set(NAMED.findall(TEXT))
    missing = [
        f"{path}::{name}"
        for path, name in sorted(named)
        if not (REPOSITORY / path).is_file() or name not in _functions_of(REPOSITORY / path)
    ]

    assert len(named) > 100
    assert missing == []


def test_every_law_names_a_test() -> None:
    """A law nobody checks is a wish."""
    laws = [paragraph for paragraph in TEXT.split("\n\n") if paragraph.startswith("**")]
    unshown = [law.split("**")[1] for law in laws if not NAMED.search(law)]

    assert len(laws) > 50
    assert unshown == []


def test_every_law_stands_once() -> None:
    """Two wordings of one law would drift apart."""
    laws = re.findall(r"^\*\*(.+?)\*\*", TEXT, re.M)

    assert len(laws) == len(set(laws))
