"""How the command line fails: its exit codes, each with one line and no traceback."""

from __future__ import annotations

import io
import os
import pickle
import signal
from pathlib import Path

import numpy as np
import pytest

from cli import KEYS, complaint, data, parsed, report, run, save
from focalgrad import _evaluate

# Exit code 1


def spoil(path: str, how: str) -> None:
    """Replace a good file by one that cannot be evaluated."""
    good = Path(path).read_bytes()
    array = np.load(path)
    if how == "missing":
        os.remove(path)
    elif how == "folder":
        os.remove(path)
        os.mkdir(path)
    elif how == "pipe":
        # Opened for both directions here, so that opening it there does not wait.
        os.remove(path)
        os.mkfifo(path)
        os.open(path, os.O_RDWR)
    elif how == "archive":
        archive = io.BytesIO()
        np.savez(archive, array)
        Path(path).write_bytes(archive.getvalue())
    elif how == "objects":
        np.save(path, array.astype(object), allow_pickle=True)
    else:
        Path(path).write_bytes(
            {
                "empty": b"",
                "magic only": good[:6],
                "half a header": good[:40],
                "no data": good[:128],
                "one byte short": good[:-1],
                "text": b"0.5 0.25\n",
                "pickle": pickle.dumps(array),
                "unknown version": good[:6] + b"\x09" + good[7:],
                "negative shape": good.replace(b"(5000,)", b"(-500,)"),
                "a shape like a phone number": good.replace(b"(5000,), }", b"(5000**9,)"),
                "more than there is": good.replace(b"(5000,), }  ", b"(500000,), }"),
                "no bytes an element": good.replace(b"<f4", b"|S0").replace(b"|u1", b"|S0"),
            }[how]
        )


@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize(
    "how",
    [
        "missing",
        "folder",
        pytest.param("pipe", marks=pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="POSIX")),
        "archive",
        "objects",
        "empty",
        "magic only",
        "half a header",
        "no data",
        "one byte short",
        "text",
        "pickle",
        "unknown version",
        "negative shape",
        "a shape like a phone number",
        "more than there is",
        "no bytes an element",
    ],
)
def test_files_that_cannot_be_read(tmp_path, capsys, which, how):
    paths = save(tmp_path, *data())
    spoil(paths[which], how)
    assert paths[which] in complaint(capsys, 1, "evaluate", *paths)


@pytest.mark.parametrize(
    ("logits", "targets", "says"),
    [
        (np.zeros(3, np.float32), np.zeros(4, np.uint8), "shapes differ"),
        (np.zeros((3, 1), np.float32), np.zeros(3, np.uint8), "shapes differ"),
        (np.zeros((2, 3), np.float32), np.zeros((2, 3), np.uint8, order="F"), "Fortran order"),
        (np.zeros(3, ">f4"), np.zeros(3, np.uint8), "logits"),
        (np.zeros(3, np.float32), np.zeros(3, ">f8"), "targets"),
        (np.zeros(3, np.complex64), np.zeros(3, np.uint8), "complex64"),
        (np.zeros(3, "U2"), np.zeros(3, np.uint8), "logits"),
        (np.zeros(3, "M8[s]"), np.zeros(3, np.uint8), "datetime64"),
        (np.zeros(3, [("x", "f4")]), np.zeros(3, np.uint8), "logits"),
        (np.zeros(3, np.float32), np.zeros(3, np.complex128), "complex128"),
        (np.zeros(3, np.float32), np.array([0, 1, 7], np.uint8), "element 2 of the file is 7"),
        (np.zeros(3), np.array([0.0, np.nan, -1.0]), "element 2 of the file is -1.0"),
        (np.zeros(3), np.array([0.0, np.inf, 1.0]), "element 1 of the file is inf"),
    ],
)
def test_arrays_that_do_not_go_together(tmp_path, capsys, logits, targets, says):
    line = complaint(capsys, 1, "evaluate", *save(tmp_path, logits, targets))
    assert says in line and "targets.npy" in line


def test_a_bad_target_is_found_in_any_piece(tmp_path, capsys):
    x, y = data()
    y[4711] = 2
    assert "element 4,711" in complaint(capsys, 1, "evaluate", *save(tmp_path, x, y), "--chunk", "100")


def test_a_file_cut_while_it_is_read(tmp_path):
    path, _ = save(tmp_path, *data())
    with _evaluate.NpyFile.open(path) as file:
        os.truncate(path, 4096)
        with pytest.raises(_evaluate.BadData, match=r"logits\.npy: cannot be read"):
            file.piece(4000, 5000)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_output_that_cannot_be_written(tmp_path):
    with open("/dev/full", "w") as full:
        done = run("evaluate", *save(tmp_path, *data()), stdout=full)
    assert done.returncode == 1
    assert done.stderr.startswith("focalgrad: error: cannot write the output: ")
    assert done.stderr.count("\n") == 1


# Exit code 2, and others


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "COMMAND"),
        (["train"], "train"),
        (["evaluate"], "LOGITS.npy"),
        (["evaluate", "logits.npy"], "TARGETS.npy"),
        (["evaluate", "a", "b", "c"], "c"),
        (["evaluate", "a", "b", "--alpha", "much"], "takes a number or none, got 'much'"),
        (["evaluate", "a", "b", "--alpha", "1.5"], "alpha"),
        (["evaluate", "a", "b", "--alpha", "nan"], "alpha"),
        (["evaluate", "a", "b", "--gamma", "two"], "takes a number, got 'two'"),
        (["evaluate", "a", "b", "--gamma", "-1"], "gamma"),
        (["evaluate", "a", "b", "--gamma", "inf"], "gamma"),
        (["evaluate", "a", "b", "--gamma"], "gamma"),
        (["evaluate", "a", "b", "--reduction", "median"], "median"),
        (["evaluate", "a", "b", "--chunk", "0"], "takes a whole number"),
        (["evaluate", "a", "b", "--chunk", "1e6"], "takes a whole number"),
        (["evaluate", "a", "b", "--js"], "--js"),
        (["config", "threads"], "threads"),
    ],
)
def test_usage_errors(capsys, arguments, says):
    assert says in complaint(capsys, 2, *arguments)


@pytest.mark.parametrize("spelling", ["none", "None", "-1"])
def test_spellings_of_no_weighting(tmp_path, capsys, spelling):
    assert report(capsys, *save(tmp_path, *data()), "--alpha", spelling)["alpha"] is None


def test_as_a_process(tmp_path):
    paths = save(tmp_path, *data())
    done = run("evaluate", *paths, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    assert set(parsed(done.stdout)) == KEYS
    assert run("evaluate", "missing.npy", paths[1]).returncode == 1
    assert run("evaluate").returncode == 2


@pytest.mark.skipif(os.name != "posix", reason="POSIX pipes")
@pytest.mark.parametrize("what", ["table", "help", "config"])
def test_a_reader_that_went_away(tmp_path, what):
    paths = save(tmp_path, *data())
    arguments = {"table": ["evaluate", *paths], "help": ["--help"], "config": ["config"]}[what]
    # Unbuffered, argparse writes the help itself and keeps the failure to itself.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    reading, writing = os.pipe()
    os.close(reading)
    done = run(*arguments, stdout=writing, env=environment)
    os.close(writing)
    assert (done.returncode, done.stderr) == (141, "")


def test_no_output_at_all(tmp_path):
    code = "import os, sys; os.close(1); sys.stdout = None; from focalgrad import _cli; sys.exit(_cli.main())"
    done = run("evaluate", *save(tmp_path, *data()), code=code)
    assert (done.returncode, done.stderr) == (0, "")


def test_interrupt(tmp_path):
    code = """
import signal, sys
from focalgrad import _cli, _evaluate

_evaluate.NpyFile.piece = lambda *_: signal.raise_signal(signal.SIGINT)
sys.exit(_cli.main())
"""
    done = run("evaluate", *save(tmp_path, *data()), code=code)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "focalgrad: interrupted\n")
    assert done.returncode == 128 + signal.SIGINT


@pytest.mark.skipif(os.name != "posix", reason="POSIX file names")
def test_file_names_may_hold_anything(tmp_path):
    names = "a\nb \u03b3.npy", os.fsdecode(b"c\xff.npy")
    for old, new in zip(save(tmp_path, *data(50)), names, strict=True):
        os.rename(old, tmp_path / new)
    done = run("evaluate", *names, cwd=tmp_path, env={**os.environ, "PYTHONIOENCODING": "ascii"})
    assert (done.returncode, done.stderr) == (0, "")
    assert r"a\nb \u03b3.npy" in done.stdout and r"c\udcff.npy" in done.stdout
    done = run("evaluate", names[1], "missing\n.npy", cwd=tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
