"""`focalgrad evaluate` on files of every format: the same numbers from each, and what it says of bad ones."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.feather
import pyarrow.parquet as pq
import pytest
from sklearn.datasets import load_breast_cancer

import focalgrad as fg
from cli import complaint, report, run, table

FLIGHTS = Path(__file__).resolve().parent.parent / "examples" / "flights"
LOGITS, TARGETS = (np.load(FLIGHTS / f"{name}.npy") for name in ("logits", "targets"))
MONTHS = np.array(["oct", "nov", "dec"])[np.arange(len(LOGITS)) * 3 // len(LOGITS)]
# What a reader of text makes of float32 numbers.
DECIMAL = np.array([float(str(number)) for number in LOGITS])


def flights(rows: int = len(LOGITS)) -> pa.Table:
    names = np.where(TARGETS[:rows] == 1, "yes", "no")
    return pa.table(
        {
            "score": LOGITS[:rows],
            "cancelled": TARGETS[:rows],
            "month": MONTHS[:rows],
            "named": names,
            "weight": np.arange(rows) % 3 + 0.5,
        }
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The flights in every format, and in 100 parts."""
    place = tmp_path_factory.mktemp("files")
    whole = flights()
    pq.write_table(whole, place / "f.parquet", row_group_size=20_000)
    pa.feather.write_feather(whole, str(place / "f.feather"))
    pa.csv.write_csv(whole, place / "f.csv")
    np.savez(place / "f.npz", score=LOGITS, cancelled=TARGETS)
    np.savez_compressed(place / "c.npz", score=LOGITS, cancelled=TARGETS)
    (place / "parts").mkdir()
    for i, rows in enumerate(np.array_split(np.arange(len(LOGITS)), 100)):
        pq.write_table(whole.slice(rows[0], len(rows)), place / "parts" / f"{i:03}.parquet")
        np.save(place / "parts" / f"x-{i:03}.npy", LOGITS[rows])
        np.save(place / "parts" / f"y-{i:03}.npy", TARGETS[rows])
    return place


ROWS = 5000
COLUMNS = ("--logits", "score", "--targets", "cancelled")
WAYS = {
    "npy": (str(FLIGHTS / "logits.npy"), str(FLIGHTS / "targets.npy")),
    "npy by name": ("--logits", str(FLIGHTS / "logits.npy"), "--targets", str(FLIGHTS / "targets.npy")),
    "parquet": ("f.parquet", *COLUMNS),
    "feather": ("f.feather", *COLUMNS),
    "csv": ("f.csv", *COLUMNS),
    "npz": ("f.npz", *COLUMNS),
    "compressed npz": ("c.npz", *COLUMNS),
    "100 parts": ("parts/*.parquet", *COLUMNS),
    "100 parts of npy": ("parts/x-*.npy", "parts/y-*.npy"),
    "labels": ("f.parquet", "--logits", "score", "--targets", "named", "--label-map", "no=0,yes=1"),
    "csv labels": ("f.csv", "--logits", "score", "--targets", "named", "--label-map", '{"no": 0, "yes": 1}'),
}


@pytest.mark.parametrize("way", WAYS)
def test_every_format_gives_the_same_numbers(way, folder, capsys, monkeypatch):
    monkeypatch.chdir(folder)
    got = report(capsys, *WAYS[way], "--chunk", "10000")
    x = DECIMAL if "csv" in way else LOGITS
    assert got["focal"]["loss"] == fg.evaluate(x, TARGETS).value
    assert (got["rows"], got["positives"]) == (len(LOGITS), TARGETS.sum())
    hardest = got["hardest"][0]
    assert hardest["row"] == np.argmax(fg.SigmoidFocalLoss(reduction="none")(LOGITS, TARGETS))
    if "parts" in way:
        assert str(hardest["file"]).startswith("parts/") and hardest["row_in_file"] < 1000


def test_standard_input(folder):
    with open(folder / "f.csv") as source:
        done = run("evaluate", "-", *COLUMNS, "--by", "month", "--json", stdin=source)
    assert (done.returncode, done.stderr) == (0, "")
    got = json.loads(done.stdout)
    assert got["focal"]["loss"] == fg.evaluate(DECIMAL, TARGETS).value
    assert [each["value"] for each in got["by"]["groups"]] == ["dec", "nov", "oct"]


def test_groups_and_weights(folder, capsys, monkeypatch):
    monkeypatch.chdir(folder)
    more = ("--sample-weight", "weight", "--by", "month", "--normalizer", "weights")
    got = report(capsys, "f.parquet", *COLUMNS, *more)
    weight = np.arange(len(LOGITS)) % 3 + 0.5
    loss = fg.SigmoidFocalLoss(normalizer="weights")
    assert got["focal"]["loss"] == pytest.approx(loss(LOGITS, TARGETS, sample_weight=weight), rel=1e-12)
    for each in got["by"]["groups"]:
        mask = each["value"] == MONTHS
        want = loss(LOGITS[mask], TARGETS[mask], sample_weight=weight[mask])
        assert each["loss"] == pytest.approx(want, rel=1e-12)
    text = table(capsys, "f.parquet", *COLUMNS, *more)
    assert "\noct " in text and "month" in text


def test_classes_in_columns_and_in_lists(tmp_path, capsys):
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=(900, 3)), rng.integers(0, 3, 900)
    columns = {name: x[:, i] for i, name in enumerate("abc")}
    lists = pa.FixedSizeListArray.from_arrays(x.ravel(), 3)
    free = pa.array(x.tolist())
    pq.write_table(pa.table({**columns, "all": lists, "free": free, "y": y}), tmp_path / "t.parquet")
    path, options = str(tmp_path / "t.parquet"), ("--targets", "y", "--loss", "softmax", "--gamma", "0,2")
    found = [
        report(capsys, path, "--logits", names, *options, "--chunk", "100")
        for names in ("a,b,c", "all", "free")
    ]
    loss = fg.SoftmaxFocalLoss(gamma=0.0)
    assert found[0]["focal"]["loss"] == pytest.approx(loss(x, y), rel=1e-12)
    assert found[0]["classes"] == found[1]["classes"] == found[2]["classes"]
    assert found[0]["logits"]["shape"] == [900, 3]
    more = (
        "--logits",
        "a,b,c",
        *options[:2],
        "--class-axis",
        "-1",
        "--class-weight",
        "1,2,3",
        "--alpha",
        "0.1,0.2,0.3",
    )
    got = report(capsys, path, *more, "--class-gamma", "0,1,2")
    loss = fg.SigmoidFocalLoss([0.1, 0.2, 0.3], [0, 1, 2], class_axis=-1, class_weight=[1, 2, 3])
    assert got["focal"]["loss"] == pytest.approx(loss(x, y), rel=1e-12)
    text = table(capsys, path, "--logits", "all", *options)
    assert "taken for" in text and "gamma  " in text


@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("order", ["C", "F"])
def test_npy_with_a_class_axis_anywhere(tmp_path, capsys, axis, order):
    rng = np.random.default_rng(4)
    shape = (6, 7, 8)
    x = rng.normal(size=shape).astype(np.float32, order=order)
    y = rng.integers(0, shape[axis], np.delete(shape, axis)).astype(np.int16, order=order)
    paths = [str(tmp_path / name) for name in ("x.npy", "y.npy")]
    for path, array in zip(paths, (x, np.asarray(y, order=order)), strict=True):
        np.save(path, array)
    loss = fg.SoftmaxFocalLoss(class_axis=axis)
    for chunk in ("9", "60", "10000"):
        got = report(capsys, *paths, "--loss", "softmax", "--class-axis", str(axis), "--chunk", chunk)
        assert got["focal"]["loss"] == pytest.approx(loss(x, y), rel=1e-12)
        assert got["rows"] == 6 and got["examples"] == y.size


def test_a_public_imbalanced_data_set(tmp_path, capsys):
    """Tumours, scored by one of their features; 63 % of them are benign, so malignant is made rare here."""
    data = load_breast_cancer(as_frame=True).frame
    data = data[(data["target"] == 1) | (data.index % 10 == 0)]
    scores = (data["mean radius"] - data["mean radius"].mean()) / data["mean radius"].std()
    frame = pa.table({"score": scores.to_numpy(), "malignant": (data["target"] == 0).to_numpy()})
    pq.write_table(frame, tmp_path / "tumours.parquet")
    got = report(capsys, str(tmp_path / "tumours.parquet"), "--logits", "score", "--targets", "malignant")
    x, y = frame["score"].to_numpy(), frame["malignant"].to_numpy()
    assert got["focal"]["loss"] == pytest.approx(fg.SigmoidFocalLoss()(x, y), rel=1e-12)
    assert 0.02 < got["positive_share"] < 0.1


# What is written


@pytest.mark.parametrize("end", ["npy", "parquet", "arrow", "feather", "csv"])
@pytest.mark.parametrize("what", ["losses", "gradients", "posteriors"])
def test_out(folder, tmp_path, capsys, end, what):
    path = tmp_path / f"out.{end}"
    report(
        capsys, str(folder / "f.parquet"), *COLUMNS, "--out", str(path), "--write", what, "--chunk", "30000"
    )
    loss = fg.SigmoidFocalLoss(reduction="none")
    want = {"losses": loss, "gradients": loss.grad, "posteriors": lambda x, _: loss.posterior(x)}[what](
        LOGITS, TARGETS
    )
    name = {"losses": "loss"}.get(what, what[:-1])
    if end == "npy":
        got = np.load(path)
    elif end == "csv":
        got = pa.csv.read_csv(path)[name].to_numpy().astype(np.float32)
    else:
        got = {"parquet": pq.read_table}.get(end, pa.feather.read_table)(str(path))[name].to_numpy()
    assert got.dtype == np.float32 and np.array_equal(got, want)
    assert [each.name for each in tmp_path.iterdir()] == [path.name]


def test_out_of_classes(tmp_path, capsys):
    x, y = np.random.default_rng(0).normal(size=(50, 3)), np.arange(50) % 3
    np.save(tmp_path / "x.npy", x), np.save(tmp_path / "y.npy", y)
    paths = [str(tmp_path / name) for name in ("x.npy", "y.npy")]
    for what, shape in (("losses", (50,)), ("gradients", (50, 3))):
        out = tmp_path / "out.npy"
        report(capsys, *paths, "--loss", "softmax", "--out", str(out), "--write", what, "--chunk", "20")
        assert np.load(out).shape == shape
    report(capsys, *paths, "--loss", "softmax", "--out", str(tmp_path / "o.csv"), "--write", "posteriors")
    got = pa.csv.read_csv(tmp_path / "o.csv")
    assert np.allclose(
        np.stack([got[f"posterior_{i}"] for i in range(3)], 1), fg.SoftmaxFocalLoss().posterior(x)
    )


# What is refused


def bad_tables() -> dict[str, tuple[Any, str]]:
    good = flights(ROWS)
    holes = pa.array([None if i == 4321 else float(v) for i, v in enumerate(LOGITS[:ROWS])])
    label = TARGETS[:ROWS].copy()
    label[1234] = 7
    return {
        "a null": (good.set_column(0, "score", holes), "row 4,321 has no 'score' (null)"),
        "a label outside": (good.set_column(1, "cancelled", pa.array(label)), "row 1,234 of the file is 7"),
        "no column": (good.drop_columns(["score"]), "no column 'score'; it has cancelled"),
        "text": (
            good.set_column(0, "score", good["month"].combine_chunks()),
            "column 'score' must be numbers",
        ),
        "text labels": (good.set_column(1, "cancelled", good["named"].combine_chunks()), "a label map says"),
        "dates": (
            good.set_column(1, "cancelled", pa.array(TARGETS[:ROWS].astype("M8[s]"))),
            "'cancelled' must be numbers",
        ),
    }


@pytest.mark.parametrize("what", bad_tables())
def test_bad_tables(tmp_path, capsys, what):
    bad, says = bad_tables()[what]
    path, out = str(tmp_path / "bad.parquet"), tmp_path / "out.parquet"
    pq.write_table(bad, path)
    line = complaint(capsys, 1, "evaluate", path, *COLUMNS, "--chunk", "1000", "--out", str(out))
    assert says in line and "bad.parquet" in line
    assert [each.name for each in tmp_path.iterdir()] == ["bad.parquet"]
    with pytest.raises(ValueError, match=r"bad\.parquet"):
        fg.evaluate("score", "cancelled", data=path)


def test_other_bad_files(folder, tmp_path, capsys):
    whole = (folder / "f.parquet").read_bytes()
    cut = tmp_path / "cut.parquet"
    cut.write_bytes(whole[: len(whole) // 2])
    assert "cut.parquet: cannot be read" in complaint(capsys, 1, "evaluate", str(cut), *COLUMNS)
    half = (folder / "f.feather").read_bytes()
    (tmp_path / "half.feather").write_bytes(half[: len(half) // 2])
    assert "half.feather: cannot be read" in complaint(
        capsys, 1, "evaluate", str(tmp_path / "half.feather"), *COLUMNS
    )
    (tmp_path / "a.csv").write_text("score,cancelled\n0.5,1\n0.25,maybe\n")
    assert "invalid value 'maybe'" in complaint(capsys, 1, "evaluate", str(tmp_path / "a.csv"), *COLUMNS)
    (tmp_path / "b.csv").write_text("score,cancelled\n0.5,1\n,0\n")
    assert "row 1 has no 'score' (null)" in complaint(
        capsys, 1, "evaluate", str(tmp_path / "b.csv"), *COLUMNS
    )
    (tmp_path / "c.csv").write_text("score,cancelled\n0.5,1\n0.2\n")
    assert "c.csv: cannot be read" in complaint(capsys, 1, "evaluate", str(tmp_path / "c.csv"), *COLUMNS)
    assert "no file has a name like this" in complaint(
        capsys, 1, "evaluate", str(tmp_path / "*.pq"), *COLUMNS
    )
    assert "no member 'x'; it has score" in complaint(
        capsys, 1, "evaluate", str(folder / "f.npz"), "--logits", "x"
    )
    assert "missing.parquet" in complaint(capsys, 1, "evaluate", "missing.parquet", *COLUMNS)
    labels = ("--logits", "score", "--targets", "named", "--label-map", "no=0")
    assert "label 'yes'; the label map has no" in complaint(
        capsys, 1, "evaluate", str(folder / "f.parquet"), *labels
    )


def test_parts_that_differ(tmp_path, capsys):
    table_ = flights(100)
    pq.write_table(table_, tmp_path / "1.parquet")
    pq.write_table(table_.set_column(0, "score", table_["score"].cast("float64")), tmp_path / "2.parquet")
    line = complaint(capsys, 1, "evaluate", str(tmp_path / "*.parquet"), *COLUMNS)
    assert "2.parquet: column 'score' is double, but float in" in line
    for name, dtype in (("x-1", np.float32), ("x-2", np.float64), ("y-1", np.uint8), ("y-2", np.uint8)):
        np.save(tmp_path / f"{name}.npy", np.zeros(5, dtype))
    both = [str(tmp_path / f"{name}-*.npy") for name in "xy"]
    assert "x-2.npy: parts differ" in complaint(capsys, 1, "evaluate", *both)
    (tmp_path / "y-2.npy").unlink()
    assert "as many files" in complaint(capsys, 1, "evaluate", *both)


def test_class_indices_outside(tmp_path, capsys):
    np.save(tmp_path / "x.npy", np.zeros((40, 3)))
    y = np.zeros(40, int)
    y[33] = 3
    np.save(tmp_path / "y.npy", y)
    paths = [str(tmp_path / name) for name in ("x.npy", "y.npy")]
    line = complaint(capsys, 1, "evaluate", *paths, "--loss", "softmax", "--chunk", "30")
    assert "y.npy: targets must be classes from 0 to 2, but element 33 of the file is 3" in line


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (
            ["a.parquet", "--loss", "softmax", "--class-weight", "1,2"],
            "--class-weight is no option of the softmax",
        ),
        (["a.parquet", "--modulator", "sigmoid"], "--modulator is no option of the sigmoid"),
        (["a.npy", "b.npy", "--by", "x"], "--by and --label-map are for tables"),
        (["a.npy", "b.npy", "--out", "o.txt"], "--out must end in"),
        (["a.npy", "b.npy", "--write", "gradients"], "--write"),
        (["a.npy", "b.npy", "--logits", "x"], "--logits and --targets"),
        (["a.parquet", "--label-map", "yes"], "takes LABEL=NUMBER"),
        (["a.parquet", "--from-logits", "maybe"], "takes yes or no"),
        (["a.parquet", "--normalizer", "rows"], "normalizer"),
        (["a.parquet", "--gamma", "1,2", "--class-gamma", "1,2", "--class-axis", "-1"], "--class-gamma"),
        (["a.parquet", "--gamma", "1,-2"], "gamma"),
        (["a.parquet", "--logits", "a,b"], "several columns of logits"),
        (["a.parquet", "--alpha", "0.1,x"], "takes a number or none"),
    ],
)
def test_usage(capsys, arguments, says):
    assert says in complaint(capsys, 2, "evaluate", *arguments)


# Libraries that are not there

WITHOUT = """
import sys
class Gone:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {missing}:
            raise ImportError(f"No module named {{name!r}}")
sys.meta_path.insert(0, Gone())
from focalgrad import _cli
code = _cli.main()
assert not set(sys.modules) & {{"pandas", *{missing}}}, "imported what is not needed"
sys.exit(code)
"""


def without(missing: set[str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return run("evaluate", *arguments, code=WITHOUT.format(missing=missing))


def test_libraries_are_imported_when_met(folder):
    every = {"pyarrow", "rich", "matplotlib", "dask", "sklearn"}
    npy = WAYS["npy"]
    assert without(every, *npy, "--gamma", "0,2", "--json").returncode == 0
    assert (
        without({"rich", "matplotlib", "dask", "sklearn"}, str(folder / "f.parquet"), *COLUMNS).returncode
        == 0
    )
    for arguments, library in (
        ((str(folder / "f.parquet"), *COLUMNS), "pyarrow"),
        ((*npy, "--out", str(folder / "o.parquet")), "pyarrow"),
        ((*npy, "--report", str(folder / "r.html")), "matplotlib"),
    ):
        done = without(every, *arguments)
        assert done.returncode == 1 and done.stderr.count("\n") == 1, done.stderr
        assert f"needs {library}" in done.stderr and "pip install 'focalgrad[cli]'" in done.stderr
    assert not list(folder.glob("*.html")) and not list(folder.glob(".*"))


def test_help_imports_nothing_much():
    code = "import sys; from focalgrad import _cli; _cli.main(['evaluate', '--help'])"
    code += "; print(*sys.modules, file=sys.stderr)"
    done = run(code=code)
    assert done.returncode == 0
    loaded = done.stderr.split()
    assert not {"pyarrow", "rich", "matplotlib", "dask", "pandas", "focalgrad._evaluate.run"} & set(loaded)


def test_as_a_function(folder):
    found = fg.evaluate("score", "cancelled", data=[folder / "f.parquet"], by="month", gamma=[2, 0])
    assert found.value == fg.evaluate(str(FLIGHTS / "logits.npy"), FLIGHTS / "targets.npy").value
    assert found.to_dict()["by"]["column"] == "month"
    assert "84,292 rows" in repr(found)
