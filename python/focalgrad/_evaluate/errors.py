"""What is wrong with the data, in one line."""

from __future__ import annotations

import importlib
from typing import Any

#: Which extra of the package brings a library.
EXTRAS = {"pyarrow": "cli", "rich": "cli", "matplotlib": "cli", "dask": "dask", "distributed": "dask"}

#: What a shell reports for a program that SIGINT ended.
INTERRUPTED = 130


class BadData(ValueError):
    """Data that cannot be evaluated; the message is the line that the user reads."""


def shown(text: object) -> str:
    """Text that stays on one line and can be printed: file names may hold anything."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in str(text))


def needed(library: str, what: str) -> Any:
    """Import an optional library, or say how to get it.

    Parameters
    ----------
    library : str
        A module, such as "pyarrow.parquet".
    what : str
        What it is needed for, as the subject of a sentence.
    """
    try:
        return importlib.import_module(library)
    except ImportError as error:
        package = library.partition(".")[0]
        extra = EXTRAS[package]
        raise BadData(f"{shown(what)} needs {package} ({error}); pip install 'focalgrad[{extra}]'") from None
