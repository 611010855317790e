"""The command line on real files: what it computes, what it prints, its memory, and the committed flights."""

from __future__ import annotations

import json
import math
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import focalgrad as fg
from cli import GROUP_KEYS, GROUPS, KEYS, LOSS_KEYS, TIMING_KEYS, data, parsed, report, run, save, table
from focalgrad import _cli

FLIGHTS = Path(__file__).resolve().parent.parent / "examples" / "flights"


# What it computes


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("target_dtype", [np.bool_, np.uint8, np.float32, np.float64])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize(("alpha", "gamma"), [(0.25, 2.0), (None, 1.7), (0.9, 0.0)])
def test_loss_and_gradient_are_the_librarys(tmp_path, capsys, dtype, target_dtype, reduction, alpha, gamma):
    x, y = data(dtype=dtype)
    y = y.astype(target_dtype)
    arguments = ["--alpha", str(alpha), "--gamma", str(gamma), "--reduction", reduction]
    got = report(capsys, *save(tmp_path, x, y), *arguments)
    pairs = {"focal": (alpha, gamma), "cross_entropy": (None, 0.0)}
    for name, parameters in pairs.items():
        value, grad = fg.SigmoidFocalLoss(*parameters, reduction=reduction).value_and_grad(x, y)
        each = fg.SigmoidFocalLoss(*parameters, reduction="none")(x, y)
        assert got[name]["loss"] == pytest.approx(value, rel=1e-12)
        assert got[name]["gradient_norm"] == pytest.approx(np.linalg.norm(grad.astype(float)), rel=1e-6)
        assert (got[name]["loss_min"], got[name]["loss_max"]) == (each.min(), each.max())
    assert eval(got["call"], vars(fg)) == fg.SigmoidFocalLoss(alpha, gamma, reduction=reduction)
    assert (got["alpha"], got["gamma"], got["reduction"]) == (alpha, gamma, reduction)


def test_groups_against_masks(tmp_path, capsys):
    x, y = data()
    x[:4], y[:4] = 0.0, [0, 1, 0, 1]  # p_t is exactly one half: hard
    got = report(capsys, *save(tmp_path, x, y))
    focal = fg.SigmoidFocalLoss(reduction="none").value_and_grad(x, y)
    entropy = fg.SigmoidFocalLoss(None, 0.0, reduction="none").value_and_grad(x, y)
    positive, easy = y == 1, np.where(y == 1, x, -x) > 0
    masks = {
        "positives": positive,
        "easy_positives": positive & easy,
        "hard_positives": positive & ~easy,
        "negatives": ~positive,
        "easy_negatives": ~positive & easy,
        "hard_negatives": ~positive & ~easy,
        "easy": easy,
        "hard": ~easy,
    }
    assert set(masks) == set(got["groups"]) == GROUPS
    for name, mask in masks.items():
        group = got["groups"][name]
        assert (group["count"], group["share"]) == (mask.sum(), pytest.approx(mask.mean()))
        for prefix, (values, grad) in {"": focal, "cross_entropy_": entropy}.items():
            for key, terms in {"loss_share": values, "gradient_share": np.abs(grad)}.items():
                share = terms[mask].sum(dtype=float) / terms.sum(dtype=float)
                assert group[prefix + key] == pytest.approx(share, rel=1e-9)
    assert got["positives"] == positive.sum()
    assert got["positive_share"] == pytest.approx(positive.mean())


@pytest.mark.parametrize("chunk", ["1", "7", "4999", "5000", "5001", str(10**30)])
def test_pieces_give_what_one_call_gives(tmp_path, capsys, chunk):
    paths = save(tmp_path, *(array[:700] if chunk == "1" else array for array in data()))
    whole, pieces = report(capsys, *paths), report(capsys, *paths, "--chunk", chunk)
    assert pieces["timing"].pop("chunk") == int(chunk)
    del whole["timing"], pieces["timing"]

    def flat(value: Any, name: str = "") -> dict[str, Any]:
        if isinstance(value, list):
            value = {str(i): item for i, item in enumerate(value)}
        if not isinstance(value, dict):
            return {name: value}
        return {k: v for key, item in value.items() for k, v in flat(item, f"{name}.{key}").items()}

    one, many = flat(whole), flat(pieces)
    assert one.keys() == many.keys()
    for key, value in one.items():
        assert many[key] == (pytest.approx(value, rel=1e-12) if isinstance(value, float) else value), key


def test_reduction_none_shows_elements_and_the_gradient_of_the_sum(tmp_path, capsys):
    x, y = data()
    paths = save(tmp_path, x, y)
    got, of_sum = (report(capsys, *paths, "--reduction", reduction) for reduction in ("none", "sum"))
    assert got["focal"]["loss"] is None and got["cross_entropy"]["loss"] is None
    assert got["focal"] == of_sum["focal"] | {"loss": None}
    assert got["groups"] == of_sum["groups"]
    text = table(capsys, *paths, "--reduction", "none")
    assert "smallest loss" in text and "largest loss" in text and "gradient norm of the sum" in text


@pytest.mark.parametrize(
    ("shape", "rows", "elements"),
    [((), 1, 1), ((0,), 0, 0), ((0, 3), 0, 0), ((3, 0), 3, 0), ((40, 5), 40, 200), ((2, 3, 4), 2, 24)],
)
@pytest.mark.parametrize("order", ["C", "F"])
def test_any_shape(tmp_path, capsys, shape, rows, elements, order):
    x, y = (np.resize(array, shape).copy(order) for array in data(max(1, math.prod(shape))))
    paths = save(tmp_path, x, y)
    got = report(capsys, *paths, "--chunk", "7")
    assert (got["rows"], got["elements"], got["logits"]["shape"]) == (rows, elements, list(shape))
    assert got["focal"]["loss"] == pytest.approx(fg.SigmoidFocalLoss()(x.ravel("K"), y.ravel("K")), rel=1e-12)
    assert ("elements   " in table(capsys, *paths)) == (rows != elements)


def test_nothing_to_evaluate(tmp_path, capsys):
    paths = save(tmp_path, np.empty(0, np.float32), np.empty(0, np.uint8))
    got = report(capsys, *paths)
    assert (got["focal"]["loss"], got["positive_share"], got["focal"]["loss_max"]) == (0.0, None, None)
    assert set(got["groups"]["easy"].values()) == {0, None}
    rows = [line.split() for line in table(capsys, *paths).splitlines()]
    assert ["easy", "0", *"-----"] in rows


def test_nan_is_seen(tmp_path, capsys):
    x, y = data()
    x[[3, 4000]] = np.nan
    paths = save(tmp_path, x, y)
    assert _cli.main(["evaluate", *paths, "--json"]) == 0
    out, err = capsys.readouterr()
    assert err == "focalgrad: warning: 2 of 5,000 losses are NaN (2 logits are); they are in no group\n"
    got = parsed(out)
    assert (got["nan_logits"], got["nan_losses"]) == (2, 2)
    assert got["focal"]["loss"] is None and got["focal"]["gradient_norm"] is None
    assert got["groups"]["positives"]["count"] + got["groups"]["negatives"]["count"] == 4998
    keep = ~np.isnan(x)
    clean = report(capsys, *save(tmp_path, x[keep], y[keep]))
    for name, group in clean["groups"].items():
        assert got["groups"][name] == pytest.approx(group, rel=1e-9)
    assert _cli.main(["evaluate", *save(tmp_path, x, y)]) == 0
    assert "2 of the losses, 2 of the logits; in no group below" in capsys.readouterr().out


def test_nothing_but_nan(tmp_path, capsys):
    got = report(capsys, *save(tmp_path, np.full(9, np.nan), np.zeros(9)))
    assert got["nan_losses"] == 9 and got["focal"]["loss_min"] is None
    assert got["groups"]["easy"]["share"] is None


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_signalling_nan_is_seen(tmp_path, capsys, dtype):
    """The kind of NaN that makes NumPy warn when it is merely compared."""
    bits, nan = (np.uint32, 0x7F800001) if dtype == np.float32 else (np.uint64, 0x7FF0000000000001)
    x, y = np.zeros(4, bits), np.zeros(4, bits)
    x[1] = y[2] = nan
    got = report(capsys, *save(tmp_path, x.view(dtype), y.view(dtype)))
    assert (got["nan_logits"], got["nan_losses"]) == (1, 2)


def test_nan_targets_are_seen(tmp_path, capsys):
    got = report(capsys, *save(tmp_path, np.zeros(3), np.array([0.0, np.nan, 1.0])))
    assert (got["nan_logits"], got["nan_losses"], got["positives"]) == (0, 1, 1)


def test_infinite_losses_are_seen(tmp_path, capsys):
    x, y = np.array([-np.inf, np.inf, 1.0], np.float32), np.array([1, 1, 1], np.uint8)
    got = report(capsys, *save(tmp_path, x, y))
    assert got["infinite_losses"] == 1 and got["focal"]["loss"] is None
    assert got["groups"]["hard"]["loss_share"] is None
    assert got["groups"]["hard"]["gradient_share"] == pytest.approx(1.0, abs=0.1)
    assert "1 of the losses" in table(capsys, *save(tmp_path, x, y))


def test_unaligned_numbers(tmp_path, capsys):
    """Other programs may pad the header differently: here the numbers start at an odd address."""
    paths = save(tmp_path, *data(100))
    expected = report(capsys, *paths)["focal"]
    for path in map(Path, paths):
        array = np.load(path)
        header = repr({"descr": array.dtype.str, "fortran_order": False, "shape": array.shape})
        header += " " * (len(header) % 2) + "\n"
        start = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode()
        assert len(start) % 2 == 1
        path.write_bytes(start + array.tobytes())
    assert report(capsys, *paths)["focal"] == expected


# What it prints


def test_json_keys(tmp_path, capsys):
    paths = save(tmp_path, *data())
    got = report(capsys, *paths)
    assert set(got) == KEYS
    assert set(got["logits"]) == set(got["targets"]) == {"path", "dtype", "shape"}
    assert set(got["focal"]) == set(got["cross_entropy"]) == LOSS_KEYS
    assert set(got["groups"]) == GROUPS
    assert all(set(group) == GROUP_KEYS for group in got["groups"].values())
    assert set(got["timing"]) == TIMING_KEYS
    assert got["logits"] == {"path": paths[0], "dtype": "float32", "shape": [5000]}
    assert got["version"] == fg.__version__
    assert got["timing"]["isa"] == fg.show_config(mode="dicts")["isa"]
    assert got["timing"]["elements_per_second"] > 0


def test_help_lists_every_key(capsys):
    assert _cli.main(["evaluate", "--help"]) == 0
    text = capsys.readouterr().out
    for key in KEYS | LOSS_KEYS | GROUP_KEYS | GROUPS | TIMING_KEYS:
        assert key in text
    assert "Exit code" in text


def test_table(tmp_path, capsys):
    x = np.array([-3.0, -2.0, -1.0, 0.5, 2.0, -1.0, 0.25, -4.0], np.float32)
    y = np.array([0, 0, 0, 0, 1, 1, 0, 0], np.uint8)
    text = table(capsys, *save(tmp_path, x, y), "--alpha", "none", "--gamma", "2")
    value, grad = fg.SigmoidFocalLoss(None, 2.0).value_and_grad(x, y)
    entropy, slope = fg.SigmoidFocalLoss(None, 0.0).value_and_grad(x, y)
    rows = {line[:12].strip(): line[12:].split() for line in text.splitlines()}
    assert repr(fg.SigmoidFocalLoss(None, 2.0)) in text
    assert rows["rows"] == ["8"]
    assert rows["positives"][:2] == ["2", "25.00%"]
    assert rows["easy"][:2] == ["5", "62.50%"] and rows["hard"][:2] == ["3", "37.50%"]
    assert f"positives   2 ({2 / 8:.2%})" in text
    losses = next(line for line in text.splitlines() if line.startswith("loss (mean)"))
    assert [float(cell) for cell in losses.split()[2:]] == pytest.approx([value, entropy], rel=1e-6)
    norms = next(line for line in text.splitlines() if line.startswith("gradient norm"))
    expected = [np.linalg.norm(grad), np.linalg.norm(slope)]
    assert [float(cell) for cell in norms.split()[2:]] == pytest.approx(expected, rel=1e-6)
    assert f"{np.abs(grad[y == 1]).sum() / np.abs(grad).sum():.2%}" in rows["positives"]
    assert "Easy examples are 62.50% of all" in text
    assert "elements/s" in text and "GB/s" in text
    assert max(map(len, text.splitlines())) <= 110


@pytest.mark.parametrize("option", ["--version", "--help"])
def test_says_what_it_is(capsys, option):
    assert _cli.main([option]) == 0
    assert "focalgrad" in capsys.readouterr().out


def test_config(capfd):
    assert _cli.main(["config"]) == 0
    assert fg.__version__ in capfd.readouterr().out
    assert _cli.main(["config", "--json"]) == 0
    assert json.loads(capfd.readouterr().out) == fg.show_config(mode="dicts")


# Memory


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="needs /proc")
def test_memory_is_bounded(tmp_path):
    """120 MB of files take no more memory than 5 MB of them."""
    code = """
import sys
from focalgrad import _cli

assert _cli.main() == 0
print(open("/proc/self/status").read(), file=sys.stderr)
"""
    peaks = []
    for count in (1 << 20, 24 << 20):
        paths = [str(tmp_path / name) for name in ("logits.npy", "targets.npy")]
        # Holes take no room on the disk, and no memory here.
        for path, dtype in zip(paths, (np.float32, np.uint8), strict=True):
            np.lib.format.open_memmap(path, "w+", dtype, (count,)).flush()
        done = run("evaluate", *paths, "--json", code=code)
        assert done.returncode == 0, done.stderr
        got = parsed(done.stdout)
        assert (got["elements"], got["focal"]["loss"]) == (count, pytest.approx(0.75 / 4 * math.log(2)))
        peaks.append(int(re.search(r"VmHWM:\s*(\d+) kB", done.stderr)[1]) / 1024)
    assert peaks[1] - peaks[0] < 30, f"peaks of {peaks} MB"


# The committed flights


def test_flights(capsys):
    """The held-out flights of the demo, to the digits that were seen when they were made."""
    got = report(capsys, str(FLIGHTS / "logits.npy"), str(FLIGHTS / "targets.npy"))
    assert (got["rows"], got["positives"]) == (84_292, 1_494)
    assert (got["nan_losses"], got["infinite_losses"]) == (0, 0)
    for path, expected in FLIGHTS_SEEN.items():
        found: Any = got
        for key in path.split("."):
            found = found[key]
        assert found == pytest.approx(expected, rel=1e-6), path


FLIGHTS_SEEN = {
    "focal.loss": 0.006486863,
    "focal.gradient_norm": 0.00010834895,
    "focal.loss_max": 0.7439552,
    "cross_entropy.loss": 0.13906236,
    "cross_entropy.gradient_norm": 0.00053517875,
    "cross_entropy.loss_max": 3.2268391,
    "groups.easy_positives.count": 26,
    "groups.hard_negatives.count": 18,
    "groups.positives.loss_share": 0.70837179,
    "groups.positives.cross_entropy_loss_share": 0.20197040,
    "groups.easy.gradient_share": 0.54914288,
    "groups.easy.cross_entropy_gradient_share": 0.88387557,
}
