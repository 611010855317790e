"""`focalgrad evaluate` as a process: memory, interrupts, files that are there as a whole or not at all."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cli import parsed, run

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs Linux")

LIMITED = """
import resource, sys
from focalgrad import _cli
import pyarrow.parquet, pyarrow.csv
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
limit = used + {more} * 2**20
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
code = _cli.main()
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(peak.split()[1], file=sys.stderr)
sys.exit(code)
"""
#: Mebibytes of address space that an evaluation may take beyond its libraries: files are larger.
MORE = 400
COUNT = 150_000_000


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files larger than the limit: .npy with holes in place of zeros, and Parquet in one group of rows."""
    place = tmp_path_factory.mktemp("large")
    for name, dtype in (("x", np.float32), ("y", np.uint8)):
        array = np.lib.format.open_memmap(place / f"{name}.npy", mode="w+", dtype=dtype, shape=(COUNT,))
        del array
    rng = np.random.default_rng(1)
    rows = 4_000_000
    block = pa.table({"logits": rng.normal(size=rows), "targets": rng.integers(0, 2, rows, np.uint8)})
    with pq.ParquetWriter(
        place / "t.parquet", block.schema, compression="none", use_dictionary=False
    ) as writer:
        for _ in range(12):
            writer.write_table(block, row_group_size=rows)
    return place


def limited(*arguments: str, more: int = MORE) -> tuple[dict, int]:
    done = run("evaluate", *arguments, "--json", code=LIMITED.format(more=more))
    assert done.returncode == 0, done.stderr
    return parsed(done.stdout), int(done.stderr) // 1024


def test_files_larger_than_memory(large):
    assert os.path.getsize(large / "x.npy") > MORE * 2**20
    got, peak = limited(str(large / "x.npy"), str(large / "y.npy"))
    assert got["focal"]["loss"] == pytest.approx(0.75 / 4 * math.log(2))
    assert got["elements"] == COUNT and peak < 300
    assert os.path.getsize(large / "t.parquet") > MORE * 2**20
    got, peak = limited(str(large / "t.parquet"))
    assert got["elements"] == 48_000_000 and peak < 300, f"{peak} MB"


def start(*arguments: str, cwd: Path, **more: bool) -> subprocess.Popen[str]:
    code = "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler)"
    code += "; from focalgrad import _cli; sys.exit(_cli.main())"
    command = [sys.executable, "-c", code, "evaluate", *arguments]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(command, cwd=cwd, text=True, **pipes, **more)


def wait_for(folder: Path, process: subprocess.Popen[str]) -> None:
    """Until a file that is being written has grown."""
    while process.poll() is None:
        if any(path.stat().st_size > 1 << 20 for path in folder.glob(".*.part")):
            return
        time.sleep(0.005)
    raise AssertionError(f"ended before it was stopped: {process.communicate()}")


@pytest.mark.parametrize("source", ["npy", "parquet"])
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_stopped_half_way(large, tmp_path, source, how):
    """Nothing has the final name; after Ctrl-C nothing is left at all, and the exit code is a shell's."""
    files = [str(large / "x.npy"), str(large / "y.npy")] if source == "npy" else [str(large / "t.parquet")]
    out = tmp_path / ("losses.npy" if source == "npy" else "losses.parquet")
    out.write_bytes(b"what was there before")
    process = start(*files, "--out", out.name, cwd=tmp_path)
    wait_for(tmp_path, process)
    process.send_signal(how)
    said, complained = process.communicate(timeout=60)
    assert out.read_bytes() == b"what was there before" and said == ""
    if how == signal.SIGINT:
        assert (process.returncode, complained) == (130, "focalgrad: interrupted\n")
        assert [path.name for path in tmp_path.iterdir()] == [out.name]
    else:
        assert process.returncode == -signal.SIGKILL


@pytest.mark.parametrize("group", [False, True])
@pytest.mark.parametrize("seconds", [1.5, 6.0])
def test_a_cluster_is_stopped(large, seconds, group):
    """While it starts and in the middle of minutes of work: in one line, whoever hears Ctrl-C."""
    files = [str(large / "t.parquet")] * 200
    process = start(*files, "--scheduler", "local:2", cwd=large, start_new_session=True)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(timeout=seconds)
    (os.killpg if group else os.kill)(process.pid, signal.SIGINT)
    said, complained = process.communicate(timeout=30)
    assert (process.returncode, said, complained) == (130, "", "focalgrad: interrupted\n")


def test_progress_on_a_terminal(large):
    """A bar after a second on a terminal, and nothing without one."""
    pty = pytest.importorskip("pty")
    files = [str(large / "t.parquet")]
    # The clock of the bar is ahead, so that the test need not be slow.
    code = "from focalgrad._evaluate import progress; progress.PATIENCE = -1.0; import sys"
    code += "; from focalgrad import _cli; sys.exit(_cli.main())"
    ours, theirs = pty.openpty()
    command = [sys.executable, "-c", code, "evaluate", *files, "--gamma", "2", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=theirs, text=True) as process:
        os.close(theirs)
        shown = b""
        try:
            while more := os.read(ours, 65536):
                shown += more
        except OSError:  # the other end is closed
            pass
        os.close(ours)
        got = json.loads(process.stdout.read())
    assert process.returncode == 0 and got["rows"] == 48_000_000
    assert b"rows" in shown and b"M rows/s" in shown
    done = run("evaluate", *files, "--json", code=code)
    assert (done.returncode, done.stderr) == (0, "")


def test_parts_on_a_cluster(tmp_path):
    """The same numbers from worker processes, and one line about what is wrong in one of the parts."""
    rng = np.random.default_rng(8)
    for i in range(6):
        x, y = rng.normal(size=700), rng.integers(0, 2, 700, np.uint8)
        pq.write_table(pa.table({"logits": x, "targets": y, "g": y % 2}), tmp_path / f"{i}.parquet")
    arguments = (str(tmp_path / "*.parquet"), "--by", "g", "--gamma", "2,0", "--json")
    alone, spread = (run("evaluate", *arguments, *more) for more in ((), ("--scheduler", "local:2")))
    assert (spread.returncode, spread.stderr) == (0, "")
    one, many = parsed(alone.stdout), parsed(spread.stdout)
    for key in one.keys() - {"timing", "hardest"}:
        assert one[key] == many[key], key
    assert [each["row"] for each in one["hardest"]] == [each["row"] for each in many["hardest"]]
    bad = pa.table({"logits": [0.5], "targets": np.array([7], np.uint8), "g": np.array([0], np.uint8)})
    pq.write_table(bad, tmp_path / "7.parquet")
    done = run("evaluate", *arguments, "--scheduler", "local:2")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1), done.stderr
    assert "7.parquet: targets must be from 0 to 1, but row 0 of the file is 7" in done.stderr
    done = run("evaluate", *arguments, "--scheduler", "tcp://127.0.0.1:1")
    assert done.returncode == 1 and "no cluster can be reached" in done.stderr
