"""Adapters are imported when they are used; one sentence answers a missing library, or one too old."""

from __future__ import annotations

import importlib
import re
import sys
import tomllib
from pathlib import Path
from types import SimpleNamespace

import pytest

import focalgrad as fg
from focalgrad._adapters import LIBRARIES, available, library, numbers
from support import output_from

ADAPTERS = sorted(LIBRARIES)


def test_importing_the_package_imports_no_library() -> None:
    modules = [needed.module for needed in LIBRARIES.values()]
    code = f"import sys, focalgrad; dir(focalgrad); print([m for m in {modules} if m in sys.modules])"
    assert output_from(code) == "[]"


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_a_missing_library_is_named_with_the_cure(adapter: str, monkeypatch: pytest.MonkeyPatch) -> None:
    needed = LIBRARIES[adapter]
    monkeypatch.setitem(sys.modules, needed.module, None)
    with pytest.raises(ImportError) as caught:
        library(adapter)
    assert str(caught.value) == (
        f"focalgrad.{adapter} needs {needed.project} {needed.oldest} or later, which is not installed; "
        f"pip install 'focalgrad[{adapter}]'"
    )
    assert caught.value.name == needed.module
    assert adapter not in available()


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_an_old_library_is_named_with_its_version(adapter: str, monkeypatch: pytest.MonkeyPatch) -> None:
    needed = LIBRARIES[adapter]
    monkeypatch.setitem(sys.modules, needed.module, SimpleNamespace(__version__="0.9.1"))
    with pytest.raises(ImportError, match=rf"needs {needed.project} .* or later; got 0\.9\.1; pip install"):
        library(adapter)


def test_the_failure_of_a_library_of_the_library_comes_through(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "lightgbm.py").write_text("import no_such_library")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "lightgbm", raising=False)
    with pytest.raises(ModuleNotFoundError, match="no_such_library"):
        library("lightgbm")
    importlib.invalidate_caches()


def test_unknown_attributes_are_unknown() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'lightgbn'"):
        _ = fg.lightgbn
    assert not hasattr(fg, "_adapter")


def test_versions_are_compared_as_numbers() -> None:
    assert numbers("4.7.0") < numbers("4.10.0rc1") < numbers("4.10.1")
    assert numbers("unknown") == ()


def test_extras_state_the_same_versions() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    # An extra of a library's own, as dask[distributed], is of its version too.
    versions = {name: [re.sub(r"\[\w+\]", "", need) for need in needs] for name, needs in extras.items()}
    assert {name: needs for name, needs in versions.items() if name != "cli"} == {
        adapter: [f"{needed.project}>={needed.oldest}"] for adapter, needed in LIBRARIES.items()
    }
