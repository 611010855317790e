"""Evaluation of files in one run with `cat`, pyarrow, and pandas with NumPy.

    pip install 'focalgrad[cli]' pandas; python benches/files.py [--rows 50000000]

Everything is done in turns, several rounds; ratios are medians over the rounds of the ratio within a round.
Files are read once before, so that they are in the system's cache.
Start-up of the interpreter is not counted.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

import focalgrad as fg

GAMMAS = [2.0, 0.5, 1.0, 5.0]
#: As many elements as an evaluation reads at a time.
PIECE = 1 << 18


def timed(call: Callable[[], object]) -> float:
    begin = time.perf_counter()
    call()
    return time.perf_counter() - begin


def write(folder: Path, rows: int) -> None:
    """Logits of a mediocre model, 3 % positives."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rng = np.random.default_rng(0)
    x = rng.standard_normal(rows, dtype=np.float32) * 2 - 2
    y = (rng.random(rows, dtype=np.float32) < 0.03).astype(np.uint8)
    np.save(folder / "x.npy", x)
    np.save(folder / "y8.npy", y)
    np.save(folder / "y.npy", y.astype(np.float32))
    pq.write_table(pa.table({"logits": x, "targets": y}), folder / "t.parquet")


def in_pandas(path: Path) -> float:
    """The same evaluation as it is written by hand: loss, gradient, and their sums by group."""
    import pandas as pd

    frame = pd.read_parquet(path)
    x, y = frame["logits"].to_numpy(np.float64), frame["targets"].to_numpy(np.float64)
    p = 1 / (1 + np.exp(-x))
    p_t = np.where(y == 1, p, 1 - p)
    alpha = np.where(y == 1, 0.25, 0.75)
    frame["entropy"] = -np.log(np.maximum(p_t, 1e-300))
    frame["focal"] = alpha * (1 - p_t) ** 2 * frame["entropy"]
    frame["slope"] = alpha * (1 - p_t) ** 2 * np.abs(2 * p_t * np.log(np.maximum(p_t, 1e-300)) + p_t - 1)
    frame["entropy_slope"] = 1 - p_t
    frame["hard"] = p_t <= 0.5
    sums = frame.groupby(["targets", "hard"])[["focal", "entropy", "slope", "entropy_slope"]].sum()
    return float(sums["focal"].sum()) / len(frame)


def touched(*names: str) -> None:
    """Read files in pieces as an evaluation does, and do nothing with them."""
    for name in names:
        count = len(np.load(name, mmap_mode="r"))
        for start in range(0, count, PIECE):
            np.load(name, mmap_mode="r")[start : start + PIECE : 512].max()


def contenders(folder: Path) -> dict[str, Callable[[], object]]:
    import pyarrow.parquet as pq

    def cat(*names: str) -> Callable[[], object]:
        command = ["cat", *[str(folder / name) for name in names]]
        return lambda: subprocess.run(command, stdout=subprocess.DEVNULL, check=True)

    x, y, y8, t = (str(folder / name) for name in ("x.npy", "y.npy", "y8.npy", "t.parquet"))
    arrays = np.load(x, mmap_mode="r"), np.load(y, mmap_mode="r")
    out = np.empty_like(arrays[0]), np.empty_like(arrays[0])
    losses = [fg.SigmoidFocalLoss(gamma=gamma, reduction="none") for gamma in GAMMAS]
    cached = [np.array(array[:PIECE]) for array in arrays]
    small = np.empty_like(cached[0]), np.empty_like(cached[0])
    report = folder / "report.html"
    found = fg.evaluate(x, y)
    return {
        "cat, float32 targets": cat("x.npy", "y.npy"),
        "cat, uint8 targets": cat("x.npy", "y8.npy"),
        "evaluate, float32 targets": lambda: fg.evaluate(x, y),
        "evaluate, uint8 targets": lambda: fg.evaluate(x, y8),
        "evaluate, four gammas": lambda: fg.evaluate(x, y, gamma=GAMMAS),
        "pieces mapped, pages touched": lambda: touched(x, y),
        "value and gradient, in cache": lambda: [
            losses[0].value_and_grad(*cached, out=small[0], grad_out=small[1])
            for _ in range(len(arrays[0]) // len(cached[0]))
        ],
        "calls on arrays, further gammas": lambda: [
            loss.value_and_grad(*arrays, out=out[0], grad_out=out[1]) for loss in losses[1:]
        ],
        "plots": lambda: found.to_html(report),
        "pyarrow reads": lambda: pq.read_table(t),
        "evaluate, Parquet": lambda: fg.evaluate(data=t),
        "pandas and NumPy": lambda: in_pandas(folder / "t.parquet"),
    }


#: What is measured, over what, and the bar.
RATIOS = (
    ("cat, float32 targets", "evaluate, float32 targets", "speed of cat", ">= 0.8"),
    ("cat, uint8 targets", "evaluate, uint8 targets", "speed of cat", ">= 0.8"),
    ("evaluate, Parquet", "pyarrow reads", "time of evaluate over that", "<= 1.15"),
    ("pandas and NumPy", "evaluate, Parquet", "pandas and NumPy take times as long", ">= 10"),
)


def peak(code: str, path: Path) -> float:
    """Largest memory of a process that runs this, in MB. What getrusage gives may be that of this process."""
    code += "; print(next(line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')))"
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    return float(done.stdout.split()[-1]) / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=50_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    fg.set_num_threads(2)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write(folder, options.rows)
        calls = contenders(folder)
        rounds = []
        for i in range(options.rounds + 1):
            times = {name: timed(call) for name, call in calls.items()}
            if i:  # the first one fills caches and imports
                rounds.append(times)
        print(f"{options.rows:,} rows, {fg.show_config(mode='dicts')['isa']}, 2 threads\n")
        for name in calls:
            middle = statistics.median(times[name] for times in rounds)
            print(f"{name:<32}{middle:>9.3f} s{middle / options.rows * 1e9:>9.2f} ns a row")
        print()
        for over, under, what, bar in RATIOS:
            middle = statistics.median(times[over] / times[under] for times in rounds)
            print(f"{f'{under}: {what}':<70}{middle:>8.2f}   (bar {bar})")
        each = statistics.median(
            (times["evaluate, four gammas"] - times["evaluate, float32 targets"])
            / times["calls on arrays, further gammas"]
            for times in rounds
        )
        print(f"{'further gammas, over calls on arrays':<70}{each:>8.2f}   (bar <= 1)")
        ours = peak("import sys, focalgrad as fg; fg.evaluate(data=sys.argv[1])", folder / "t.parquet")
        here = str(Path(__file__).parent)
        theirs = peak(
            f"import sys, pathlib; sys.path.insert(0, {here!r}); from files import in_pandas; "
            "in_pandas(pathlib.Path(sys.argv[1]))",
            folder / "t.parquet",
        )
        memory = f"(bar <= 0.1; {ours:,.0f} MB)"
        print(f"{'memory over that of pandas and NumPy':<70}{ours / theirs:>8.2f}   {memory}")


if __name__ == "__main__":
    main()
