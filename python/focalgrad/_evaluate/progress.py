"""A bar on the terminal for what takes longer than a second."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator
from typing import Any, Protocol

#: Seconds until a bar appears.
PATIENCE = 1.0


class Advance(Protocol):
    """Told after each piece."""

    def __call__(self, rows: int) -> None:
        """Go on by so many rows."""


@contextlib.contextmanager
def bar(total: int | None) -> Iterator[Advance]:
    """Show rows, rate and time left on standard error, if that is a terminal and rich is installed.

    Parameters
    ----------
    total : int or None
        Rows, if their number is known.
    """
    if sys.stderr is None or not sys.stderr.isatty():
        yield lambda rows: None
        return
    with contextlib.ExitStack() as stack:
        shown = _Bar(total, stack)
        yield shown


class _Bar:
    """Counts rows, and makes the bar when a second has passed."""

    def __init__(self, total: int | None, stack: contextlib.ExitStack) -> None:
        self._total, self._stack = total, stack
        self._begin, self._rows = time.monotonic(), 0
        self._progress: Any = None
        self._task: Any = None
        self._tried = False

    def __call__(self, rows: int) -> None:
        self._rows += rows
        if not self._tried and time.monotonic() - self._begin > PATIENCE:
            self._tried = True
            self._show()
        if self._progress is not None:
            rate = f"{self._rows / (time.monotonic() - self._begin) / 1e6:,.1f} M rows/s"
            self._progress.update(self._task, completed=self._rows, rate=rate)

    def _show(self) -> None:
        try:
            from rich import progress
            from rich.console import Console
        except ImportError:
            return
        columns = (
            progress.BarColumn(),
            progress.TaskProgressColumn(),
            progress.TextColumn("{task.completed:,.0f} rows"),
            progress.TextColumn("{task.fields[rate]}"),
            progress.TimeRemainingColumn(),
        )
        made = progress.Progress(*columns, console=Console(stderr=True), transient=True)
        self._progress = self._stack.enter_context(made)
        self._task = made.add_task("", total=self._total, rate="")
