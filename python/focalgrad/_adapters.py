"""The libraries that adapters stand on, and the one place that imports them.

``focalgrad.lightgbm`` and its like are modules of their own. `focalgrad` imports each when it is first used,
and each begins with a call of `library`, so that one sentence answers a library that is missing or too old.
"""

from __future__ import annotations

import re
from importlib import import_module
from types import ModuleType
from typing import NamedTuple


class Library(NamedTuple):
    """What an adapter needs: the package to import, the project's name, the oldest version that works."""

    module: str
    project: str
    oldest: str


#: By adapter. The extras in pyproject.toml have the same names and the same versions.
LIBRARIES = {
    "catboost": Library("catboost", "catboost", "1.2"),
    "dask": Library("dask", "dask", "2024.12"),
    "lightgbm": Library("lightgbm", "lightgbm", "4.0"),
    "sklearn": Library("sklearn", "scikit-learn", "1.6"),
    "xgboost": Library("xgboost", "xgboost", "3.2"),
    "ydf": Library("ydf", "ydf", "0.16"),
}


def numbers(version: str) -> tuple[int, ...]:
    """Give the leading numbers of a version: ``"4.7.0rc1"`` is (4, 7, 0)."""
    leading = re.match(r"\d+(\.\d+)*", version)
    return tuple(int(number) for number in leading[0].split(".")) if leading else ()


def library(adapter: str) -> ModuleType:
    """Import what an adapter stands on.

    Parameters
    ----------
    adapter : str
        A key of `LIBRARIES`.

    Returns
    -------
    module

    Raises
    ------
    ImportError
        If the library is missing or too old. What else goes wrong in its import comes through as it is.
    """
    module, project, oldest = LIBRARIES[adapter]
    wanted = f"focalgrad.{adapter} needs {project} {oldest} or later"
    cure = f"pip install 'focalgrad[{adapter}]'"
    try:
        found = import_module(module)
    except ModuleNotFoundError as error:
        if error.name != module:
            raise
        raise ImportError(f"{wanted}, which is not installed; {cure}", name=module) from None
    if numbers(found.__version__) < numbers(oldest):
        raise ImportError(f"{wanted}; got {found.__version__}; {cure}", name=module)
    return found


def available() -> list[str]:
    """Adapters whose library is installed, without importing any."""
    from importlib.util import find_spec  # here alone, and a fifth of what importing this module costs

    return [adapter for adapter, needed in LIBRARIES.items() if find_spec(needed.module) is not None]
