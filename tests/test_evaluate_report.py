"""The report: its tables say what --json says, it needs no other file, and a real browser opens it."""

from __future__ import annotations

import html.parser
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import focalgrad as fg
from cli import report
from focalgrad._evaluate.text import number, percent

ROOT = Path(__file__).resolve().parent.parent
FLIGHTS = ROOT / "examples" / "flights"
FILES = (str(FLIGHTS / "logits.npy"), str(FLIGHTS / "targets.npy"))
COMMITTED = FLIGHTS / "report.html"


class Tables(html.parser.HTMLParser):
    """The cells of every table by its id, links to other files, and the numbers in JSON."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tables: dict[str, list[list[str]]] = {}
        self.links: list[str] = []
        self.numbers = ""
        self._rows: list[list[str]] | None = None
        self._cell = self._script = False
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attributes: Any) -> None:
        about = dict(attributes)
        self.links += [value for name, value in attributes if name in ("src", "href", "xlink:href", "data")]
        if tag == "table":
            self._rows = self.tables[about["id"]] = []
        elif tag == "tr" and self._rows is not None:
            self._rows.append([])
        elif tag in ("td", "th") and self._rows is not None:
            self._rows[-1].append("")
            self._cell = True
        self._script = tag == "script" and about.get("id") == "numbers"

    def handle_endtag(self, tag: str) -> None:
        self._cell = self._cell and tag not in ("td", "th")
        self._script = self._script and tag != "script"

    def handle_data(self, text: str) -> None:
        if self._script:
            self.numbers += text
        elif self._cell and self._rows:
            self._rows[-1][-1] += text


def nan(value: float | None) -> float | None:
    return float("nan") if value is None else value


SHARES = ("share", "loss_share", "cross_entropy_loss_share", "gradient_share", "cross_entropy_gradient_share")


def shares(group: dict[str, Any]) -> list[str]:
    return [f"{group['count']:,}", *[percent(nan(group[key])) for key in SHARES]]


def assert_agrees(page: Tables, said: dict[str, Any]) -> None:
    """Every number of the tables is that of the JSON."""
    told = json.loads(page.numbers)
    assert told.keys() == said.keys()
    for key in said.keys() - {"timing"}:
        assert told[key] == said[key], key
    rows = page.tables["groups"][1:]
    groups = {name: group for name, group in said["groups"].items() if group["count"] is not None}
    if said["positives"] is None:
        groups = {name: group for name, group in groups.items() if "_" not in name}
    assert rows == [[name.replace("_", " "), *shares(group)] for name, group in groups.items()]
    assert [row[1:] for row in page.tables["difficulty"][1:]] == [shares(each) for each in said["difficulty"]]
    losses = page.tables["losses"][1:]
    keys = ("loss", "gradient_norm", "loss_min", "loss_max")
    assert losses[0][1:5] == [number(said["cross_entropy"][key]) for key in keys]
    for row, each in zip(losses[1:], said["gammas"], strict=True):
        assert row[1:5] == [number(each[key]) for key in keys]
    for row, each in zip(page.tables["hardest"][1:], said["hardest"], strict=True):
        assert (row[0], row[5]) == (f"{each['row']:,}", number(each["loss"]))
    if said["classes"]:
        assert [row[1:7] for row in page.tables["classes"][1:]] == [shares(each) for each in said["classes"]]
    if said["by"]:
        for row, each in zip(page.tables["by"][1:], said["by"]["groups"], strict=True):
            assert (row[0], row[1], row[3]) == (str(each["value"]), f"{each['rows']:,}", number(each["loss"]))


def assert_alone(text: str, page: Tables) -> None:
    """Nothing is loaded from elsewhere."""
    assert all(link.startswith(("#", "data:")) for link in page.links), page.links
    assert not re.search(r"@import|url\((?!#|['\"]?data:)|<(img|iframe|link rel=.stylesheet)", text)
    assert text.count("<svg") >= 4 and "currentColor" in text and "prefers-color-scheme: dark" in text
    assert "#010203" not in text and "@media print" in text


def test_of_the_flights(tmp_path, capsys):
    path = tmp_path / "report.html"
    said = report(capsys, *FILES, "--gamma", "2,0,0.5,1,5", "--report", str(path))
    text = path.read_text()
    page = Tables(text)
    assert_agrees(page, said)
    assert_alone(text, page)
    assert f"focalgrad evaluate {FILES[0]} {FILES[1]} --gamma 2,0,0.5,1,5 --report" in text
    assert [each.name for each in tmp_path.iterdir()] == ["report.html"]


def test_the_committed_one_is_what_the_command_writes(tmp_path, capsys, monkeypatch):
    """All but the time that it took; logits in other instruction sets differ in the last digits."""
    monkeypatch.chdir(ROOT)
    files = [str(Path(file).relative_to(ROOT)) for file in FILES]
    said = report(capsys, *files, "--gamma", "2,0,0.5,1,5", "--report", str(tmp_path / "r.html"))
    told = json.loads(Tables(COMMITTED.read_text()).numbers)
    assert told["groups"] == {name: pytest.approx(group, rel=1e-9) for name, group in said["groups"].items()}
    assert told["focal"] == pytest.approx(said["focal"], rel=1e-9)
    assert COMMITTED.stat().st_size < 300_000
    assert (FLIGHTS / "report.png").stat().st_size < 300_000


@pytest.mark.parametrize("what", ["classes", "columns", "groups", "nan", "nothing", "one"])
def test_of_other_data(tmp_path, what):
    rng = np.random.default_rng(2)
    x, t = rng.normal(size=(400, 3)), rng.integers(0, 3, 400)
    binary = fg.SigmoidFocalLoss()
    cases: dict[str, tuple[Any, Any, Any, Any]] = {
        "classes": (fg.SoftmaxFocalLoss(), x, t, None),
        "columns": (fg.SigmoidFocalLoss(class_axis=-1), x, t, None),
        "groups": (binary, x[:, 0], t > 1, np.array(["<a>", "b&b"])[t % 2]),
        "nan": (binary, np.full(5, np.nan), np.ones(5), None),
        "nothing": (binary, np.empty(0), np.empty(0), None),
        "one": (binary, [0.5], [1], None),
    }
    loss, logits, targets, by = cases[what]
    found = fg.evaluate(logits, targets, loss=loss, by=by)
    found.to_html(tmp_path / "r.html")
    text = (tmp_path / "r.html").read_text()
    page = Tables(text)
    said = json.loads(page.numbers)
    assert_agrees(page, said)
    assert "<a>" not in text
    if what == "classes":
        assert len(page.tables["classes"]) == 4 and "Classes" in text
    assert found._repr_html_().startswith('<div class="focalgrad">')


def test_pictures_are_the_papers():
    """The lines of figure 4 against sorted losses."""
    from focalgrad._evaluate import curves
    from focalgrad._evaluate.numbers import View

    x, y = np.load(FILES[0]), np.load(FILES[1])
    view = View(fg.evaluate(x, y, gamma=[2.0]))
    for gamma in (0.0, 0.5, 2.0, 5.0):
        for label in (0, 1):
            losses = np.sort(
                fg.SigmoidFocalLoss(None, gamma, reduction="none")(x[y == label], y[y == label]).astype(float)
            )
            whole = np.concatenate([[0.0], np.cumsum(losses)]) / losses.sum()
            examples, loss = curves.cumulative(view, label, gamma)
            want = np.interp(examples, np.linspace(0, 1, len(whole)), whole)
            assert np.max(np.abs(loss - want)) < 2e-3


def test_a_browser_opens_it(tmp_path):
    """Without an error, light and dark, at two widths, and nothing is wider than the page."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("no Chromium: the report was NOT opened in a browser (apt-get install chromium)")
    fg.evaluate(*map(np.load, FILES), gamma=[2, 0]).to_html(tmp_path / "r.html")
    probe = (
        "<script>window.onerror = (e) => document.title = 'error: ' + e;"
        "window.onload = () => { document.title += ' | '"
        " + (document.documentElement.scrollWidth <= innerWidth)"
        " + ' ' + [...document.querySelectorAll('svg')].every(s => s.getBoundingClientRect().height > 100)"
        " + ' ' + document.querySelectorAll('table').length; }</script>"
    )
    text = (tmp_path / "r.html").read_text().replace("</head>", probe + "</head>")
    (tmp_path / "probe.html").write_text(text)
    for width in (420, 1200):
        command = [browser, "--headless", "--no-sandbox", "--disable-gpu", f"--window-size={width},900"]
        command += [f"--user-data-dir={tmp_path / 'profile'}", "--enable-logging=stderr", "--dump-dom"]
        done = subprocess.run(
            [*command, (tmp_path / "probe.html").as_uri()],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        title = re.search(r"<title>(.*?)</title>", done.stdout)
        assert title is not None, done.stderr[-2000:]
        assert title[1] == "What focal loss sees in the data | true true 5", title[1]
        assert "CONSOLE" not in done.stderr
