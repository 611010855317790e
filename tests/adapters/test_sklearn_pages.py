"""Does docs/sklearn.md run, and does docs/boosting.md have the comparison that its script makes?"""

from __future__ import annotations

import doctest
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
DOCS = ROOT / "docs"


def test_examples_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    failed, tried = doctest.testfile(str(DOCS / "sklearn.md"), module_relative=False, optionflags=flags)
    assert failed == 0
    assert tried > 20


def test_the_table_is_there() -> None:
    text = (DOCS / "boosting.md").read_text()
    table = text.split("<!-- comparison: begin -->")[1].split("<!-- comparison: end -->")[0]
    assert table.count("±") == 2 * 7 * 4  # sets, rows, columns
