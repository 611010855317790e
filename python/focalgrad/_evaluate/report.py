"""An evaluation as a page: one file that needs no other, for screens light and dark, and for paper."""

from __future__ import annotations

import html
import json
import math
import re
from typing import TYPE_CHECKING, Any

from focalgrad._evaluate.errors import shown
from focalgrad._evaluate.numbers import View, plain, summary
from focalgrad._evaluate.plots import pictures
from focalgrad._evaluate.text import number, percent

if TYPE_CHECKING:
    from focalgrad._evaluate.evaluation import Evaluation

#: Lines of a table of groups or classes.
MOST_LINES = 200
SHARES = {
    "share": "of examples",
    "loss_share": "of the loss",
    "cross_entropy_loss_share": "of cross entropy",
    "gradient_share": "of the gradient",
    "cross_entropy_gradient_share": "of its gradient",
}

STYLE = """
.focalgrad { --ink: #1f2328; --soft: #59636e; --line: #d5dae0; --ground: #ffffff; --card: #f7f8fa;
  color: var(--ink); background: var(--ground); font: 16px/1.5 system-ui, sans-serif; }
@media (prefers-color-scheme: dark) { .focalgrad { --ink: #e6e9ed; --soft: #9aa4af; --line: #3a424b;
  --ground: #14181d; --card: #1b2027; } }
.focalgrad main { max-width: 72rem; margin: 0 auto; padding: 1.5rem clamp(0.75rem, 3vw, 2.5rem); }
.focalgrad h1 { font-size: 1.6rem; margin: 0 0 0.25rem; }
.focalgrad h2 { font-size: 1.15rem; margin: 2rem 0 0.5rem; }
.focalgrad p { max-width: 46rem; }
.focalgrad .soft, .focalgrad figcaption { color: var(--soft); font-size: 0.9rem; }
.focalgrad .lead { font-size: 1.1rem; }
.focalgrad code, .focalgrad pre { font: 0.85rem/1.45 ui-monospace, monospace; overflow-wrap: anywhere; }
.focalgrad pre { background: var(--card); padding: 0.75rem; border-radius: 6px; white-space: pre-wrap; }
.focalgrad .pictures { display: grid; margin-top: 2rem; gap: 1.25rem;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 26rem), 1fr)); }
.focalgrad figure { margin: 0; padding: 0.75rem; background: var(--card); border-radius: 8px;
  break-inside: avoid; }
.focalgrad figure.wide { grid-column: 1 / -1; }
.focalgrad figure h2 { margin: 0 0 0.5rem; } .focalgrad figure svg { width: 100%; height: auto; }
.focalgrad .scroll { overflow-x: auto; }
.focalgrad table { border-collapse: collapse; font-size: 0.9rem; font-variant-numeric: tabular-nums; }
.focalgrad th, .focalgrad td { padding: 0.25rem 0.7rem; text-align: right;
  border-bottom: 1px solid var(--line); }
.focalgrad th:first-child, .focalgrad td:first-child, .focalgrad #data td { text-align: left; }
.focalgrad td { white-space: nowrap; }
.focalgrad #data td:last-child { white-space: normal; overflow-wrap: anywhere; }
.focalgrad thead th { color: var(--soft); font-weight: 600; vertical-align: bottom; }
.focalgrad #hardest td:last-child { white-space: normal; overflow-wrap: anywhere; }
@media print { .focalgrad { --ink: #000; --soft: #333; --line: #bbb;
  --ground: #fff; --card: #fff; font-size: 11px; }
  .focalgrad main { padding: 0; max-width: none; }
  .focalgrad h1 { font-size: 18px; } .focalgrad h2 { font-size: 13px; margin: 16px 0 4px; }
  .focalgrad .lead { font-size: 12px; }
  .focalgrad h2, .focalgrad h2 + .soft { break-after: avoid; } .focalgrad tr { break-inside: avoid; }
  .focalgrad .soft, .focalgrad figcaption, .focalgrad code, .focalgrad pre { font-size: 9px; }
  .focalgrad .scroll { overflow: visible; }
  .focalgrad table { font-size: 9px; } .focalgrad th, .focalgrad td { padding: 2px 6px; }
  .focalgrad td { white-space: normal; overflow-wrap: anywhere; }
  .focalgrad .pictures { grid-template-columns: 1fr 1fr; gap: 8px; margin-top: 16px; }
  .focalgrad figure { padding: 0; } }
"""


def page(evaluation: Evaluation) -> str:
    """Give the whole file."""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        "<title>What focal loss sees in the data</title>\n"
        '<link rel="icon" href="data:,">\n'
        '<style>body { margin: 0 }</style>\n</head>\n<body class="focalgrad">\n'
        f"{_content(evaluation)}</body>\n</html>\n"
    )


def fragment(evaluation: Evaluation) -> str:
    """Give what a notebook shows."""
    return f'<div class="focalgrad">\n{_content(evaluation)}</div>\n'


def _content(evaluation: Evaluation) -> str:
    report = summary(evaluation)
    view = View(evaluation)
    drawn = "".join(
        f"<figure{_wide(svg)}><h2>{html.escape(title)}</h2>\n{svg}"
        f"<figcaption>{html.escape(text)}</figcaption></figure>\n"
        for title, text, svg in pictures(view, report)
    )
    parts = [
        f"<style>{STYLE}</style>\n<main>\n",
        "<h1>What focal loss sees in the data</h1>\n",
        f'<p class="soft"><code>{_safe(report["call"])}</code>, focalgrad {_safe(report["version"])}</p>\n',
        _lead(report),
        _about(report),
        _losses(report),
        f'<div class="pictures">\n{drawn}</div>\n',
        _groups(report),
        _difficulty(report),
        _classes(report),
        _by(report),
        _hardest(report),
        _call(evaluation),
        _numbers(report),
        "</main>\n",
    ]
    return "".join(parts)


def _wide(svg: str) -> str:
    """Let a drawing of several axes take the width of the page."""
    size = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', svg)
    return ' class="wide"' if size is not None and float(size[1]) > 2 * float(size[2]) else ""


def _safe(text: object) -> str:
    return html.escape(shown(text))


def _lead(report: dict[str, Any]) -> str:
    easy = report["groups"]["easy"]
    before, after = easy["cross_entropy_gradient_share"], easy["gradient_share"]
    if math.isnan(before + after):
        return ""
    return (
        f'<p class="lead">Easy examples, those with p_t &gt; 0.5, are {percent(easy["share"])} of all. They '
        "make "
        f"{percent(before)} of the gradient of cross entropy and {percent(after)} of this loss's.</p>\n"
    )


def table(name: str, title: str, head: list[str], rows: list[list[str]], note: str = "") -> str:
    """Lay out a table; cells are safe HTML already."""
    heads = "".join(f'<th scope="col">{cell}</th>' for cell in head)
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>\n" for row in rows)
    said = f'<p class="soft">{note}</p>\n' if note else ""
    return (
        f'<h2>{html.escape(title)}</h2>\n{said}<div class="scroll"><table id="{name}">\n'
        f"<thead><tr>{heads}</tr></thead>\n<tbody>\n{body}</tbody></table></div>\n"
    )


def _about(report: dict[str, Any]) -> str:
    rows = []
    for side in ("logits", "targets", "sample_weight"):
        about = report[side]
        if about and about["dtype"]:
            shape = " × ".join("?" if n is None else f"{n:,}" for n in about["shape"])
            name = _safe(about["path"] or "array") + (
                f" ({_safe(about['column'])})" if "column" in about else ""
            )
            rows.append([side.replace("_", " "), f"{name}: {about['dtype']}, {shape}"])
    rows.append(["rows", f"{report['rows']:,}"])
    rows.append(["examples", f"{report['examples']:,}"])
    if report["positives"] is not None:
        rows.append(["positives", f"{report['positives']:,} ({percent(report['positive_share'])})"])
    rows.append(["accuracy", percent(report["accuracy"])])
    for key in ("ignored", "nan_losses", "infinite_losses"):
        if report[key]:
            rows.append([key.replace("_", " "), f"{report[key]:,}"])
    return table("data", "The data", ["", ""], rows)


def _losses(report: dict[str, Any]) -> str:
    keys = {"loss": "loss", "gradient_norm": "gradient norm", "loss_min": "smallest", "loss_max": "largest"}
    rows = [["cross entropy", *[number(report["cross_entropy"][key]) for key in keys], "", ""]]
    for each in report["gammas"]:
        gamma = each["gamma"]
        name = f"γ = {gamma:g}" if isinstance(gamma, float) else "γ by class"
        cells = [percent(each["easy_loss_share"]), percent(each["easy_gradient_share"])]
        rows.append([name, *[number(each[key]) for key in keys], *cells])
    head = ["", *keys.values(), "easy: of the loss", "easy: of the gradient"]
    return table("losses", f"Losses ({_safe(report['reduction'])})", head, rows)


def _cells(group: dict[str, Any]) -> list[str]:
    return [f"{group['count']:,}", *[percent(group[key]) for key in SHARES]]


def _groups(report: dict[str, Any]) -> str:
    rows = [
        [name.replace("_", " "), *_cells(group)]
        for name, group in report["groups"].items()
        if group["count"] is not None and (report["positives"] is not None or "_" not in name)
    ]
    note = "easy: p_t &gt; 0.5, the model is right; hard: the rest; gradient: sum of its absolute values"
    return table("groups", "Easy and hard", ["", "count", *SHARES.values()], rows, note)


def _difficulty(report: dict[str, Any]) -> str:
    rows = [[f"{each['p_from']:.4f} to {each['p_to']:.4f}", *_cells(each)] for each in report["difficulty"]]
    return table("difficulty", "By difficulty", ["p_t", "count", *SHARES.values()], rows)


def _classes(report: dict[str, Any]) -> str:
    if not report["classes"]:
        return ""
    rows = []
    for each in report["classes"][:MOST_LINES]:
        others = [f"{other['class']} ({percent(other['share'])})" for other in each["confusions"] or []]
        rows.append(
            [str(each["class"]), *_cells(each), percent(each["easy_share"]), ", ".join(others) or "-"]
        )
    head = ["class", "count", *SHARES.values(), "easy", "taken for"]
    return table("classes", "Classes", head, rows, _rest(len(report["classes"])))


def _rest(count: int) -> str:
    return f"the first {MOST_LINES:,} of {count:,}" if count > MOST_LINES else ""


def _by(report: dict[str, Any]) -> str:
    if report["by"] is None:
        return ""
    groups = report["by"]["groups"]
    rows = [
        [
            _safe(each["value"]),
            f"{each['rows']:,}",
            "-" if each["positives"] is None else f"{each['positives']:,}",
            number(each["loss"]),
            number(each["cross_entropy_loss"]),
            percent(each["loss_share"]),
            percent(each["gradient_share"]),
        ]
        for each in groups[:MOST_LINES]
    ]
    head = [
        _safe(report["by"]["column"] or "group"),
        "rows",
        "positives",
        "loss",
        "cross entropy",
        "of the loss",
        "of the gradient",
    ]
    return table("by", "Groups", head, rows, _rest(len(groups)))


def _hardest(report: dict[str, Any]) -> str:
    rows = []
    for each in report["hardest"]:
        row = f"{each['row']:,}"
        cells = [
            str(each["target"]) if each["target"] is not None else "-",
            number(each["logit"]),
            f"{each['p_true']:.3g}",
        ]
        place = f"{_safe(each['file'])}: {each['row_in_file']:,}" if "file" in each else "-"
        rows.append(
            [row, "-" if each["class"] is None else str(each["class"]), *cells, number(each["loss"]), place]
        )
    note = "The examples with the largest loss; rows are counted from 0."
    return table(
        "hardest", "Hardest examples", ["row", "class", "target", "logit", "p_t", "loss", "where"], rows, note
    )


def _call(evaluation: Evaluation) -> str:
    command = evaluation.source.get("command")
    if command is None:
        gammas = [loss.gamma for loss in evaluation.losses]
        more = f", gamma={gammas!r}" if len(gammas) > 1 else ""
        command = f"focalgrad.evaluate(logits, targets, loss=focalgrad.{evaluation.loss!r}{more})"
    return f"<h2>To see this again</h2>\n<pre>{_safe(command)}</pre>\n"


def _numbers(report: dict[str, Any]) -> str:
    """All numbers, for programs: what --json prints."""
    text = json.dumps(plain(report), allow_nan=False).replace("<", "\\u003c")
    return f'<script type="application/json" id="numbers">{text}</script>\n'
