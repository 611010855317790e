"""What the tests of the command line share: files to evaluate, and ways to run it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from focalgrad import _cli

# Every key that `evaluate --json` prints.
GROUPS = {"positives", "negatives", "easy", "hard"} | {
    f"{which}_{sign}" for which in ("easy", "hard") for sign in ("positives", "negatives")
}
SHARES = {f"{of}{what}_share" for of in ("", "cross_entropy_") for what in ("loss", "gradient")}
GROUP_KEYS = {"count", "share"} | SHARES
LOSS_KEYS = {"loss", "gradient_norm", "loss_min", "loss_max"}
TIMING_KEYS = {"seconds", "total_seconds", "elements_per_second", "gigabytes_per_second"}
TIMING_KEYS |= {"repeats", "chunk", "threads", "isa"}
KEYS = {"version", "call", "alpha", "gamma", "reduction", "logits", "targets", "rows", "elements"}
KEYS |= {"positives", "positive_share", "nan_logits", "nan_losses", "infinite_losses"}
KEYS |= {"focal", "cross_entropy", "groups", "timing"}
KEYS |= {"kind", "normalizer", "sample_weight", "examples", "ignored", "gammas", "difficulty"}
KEYS |= {"accuracy", "classes", "reliability", "by", "hardest"}


def data(count: int = 5000, dtype: Any = np.float32) -> tuple[np.ndarray, np.ndarray]:
    """Seeded logits of a mediocre model, and targets of which a tenth are positive."""
    rng = np.random.default_rng(7)
    targets = (rng.random(count) < 0.1).astype(np.uint8)
    return (rng.normal(-1.5, 2.0, count) + 2.0 * targets).astype(dtype), targets


def save(folder: Path, logits: Any, targets: Any) -> tuple[str, str]:
    """Write both arrays as files; returns their paths, as arguments of the command."""
    paths = str(folder / "logits.npy"), str(folder / "targets.npy")
    for path, array in zip(paths, (logits, targets), strict=True):
        np.save(path, array)
    return paths


def parsed(text: str) -> dict[str, Any]:
    """JSON in one line, without NaN and Infinity, which JSON does not have."""

    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is not JSON")

    assert text.endswith("\n") and text.count("\n") == 1
    return json.loads(text, parse_constant=refuse)


def report(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    """What `evaluate --json` prints."""
    assert _cli.main(["evaluate", *arguments, "--json"]) == 0
    return parsed(capsys.readouterr().out)


def table(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """What `evaluate` prints."""
    assert _cli.main(["evaluate", *arguments]) == 0
    return capsys.readouterr().out


def complaint(capsys: pytest.CaptureFixture[str], code: int, *arguments: str) -> str:
    """The one line that the command says when it refuses."""
    assert _cli.main(list(arguments)) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("focalgrad") and "error: " in err
    assert err.endswith("\n") and err.count("\n") == 1
    return err


def run(*arguments: str, code: str | None = None, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run the command in a process of its own; `code` is run in its place, with the same arguments."""
    start = [sys.executable, "-m", "focalgrad"] if code is None else [sys.executable, "-c", code]
    options = {"stdout": subprocess.PIPE, "timeout": 300, **options}
    return subprocess.run([*start, *arguments], stderr=subprocess.PIPE, text=True, check=False, **options)
