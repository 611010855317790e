"""Tables, the README's table and JSON, all made from the same results."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from context import IN_CACHE, OURS, C
from measure import Times
from rows import FLOORS, MEMORY, Bar, Row

_FLOOR_NAMES = sorted({name for names in FLOORS.values() for name in names})


@dataclass(frozen=True)
class Verdict:
    """One check of a row: bars that had something to compare with, their ratios, and whether one is met."""

    bars: tuple[tuple[Bar, str, float], ...]
    met: bool | None

    def __str__(self) -> str:
        return {True: "met", False: "not met", None: "-"}[self.met]


@dataclass(frozen=True)
class Result:
    """A row with its times."""

    row: Row
    times: Times
    wrong: tuple[str, ...] = ()

    def time(self, name: str | None = None) -> float:
        """The median time of the row's subject or of another contender, in the row's unit."""
        return self.times.median(name or self.row.subject)

    def floor(self) -> str | None:
        """The fastest kernel that only moves the bytes."""
        return self.times.best(_FLOOR_NAMES)

    def verdicts(self) -> list[Verdict]:
        """One verdict a check."""
        return [self._judge(check) for check in self.row.checks]

    def _judge(self, check: tuple[Bar, ...]) -> Verdict:
        found = []
        for bar in check:
            name = self.times.best(bar.against)
            if name is not None:
                found.append((bar, name, self.times.ratio(self.row.subject, name)))
        limited = [bar.met(ratio) for bar, _, ratio in found if bar.limit is not None]
        return Verdict(tuple(found), any(limited) if limited else None)


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.1f}" if value >= 100 else f"{value:.3f}"


def table(header: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """Plain text columns: the first one to the left, what looks like a number to the right."""
    cells = [list(header), *(list(line) for line in lines)]
    widths = [max(len(line[i]) for line in cells) for i in range(len(header))]
    right = [
        i > 0 and all(line[i][:1].isdigit() or line[i] in {"-", ""} for line in cells[1:])
        for i in range(len(header))
    ]
    cells.insert(1, ["-" * width for width in widths])

    def text(line: list[str]) -> str:
        parts = (
            cell.rjust(w) if r else cell.ljust(w) for cell, w, r in zip(line, widths, right, strict=True)
        )
        return "  ".join(parts).rstrip()

    return "\n".join(text(line) for line in cells)


def memory_table(results: Sequence[Result]) -> str:
    """Rows from memory against the floor and against the kernel in cache."""
    left, right = (
        ("from memory", "ns/element", "spread", "others"),
        ("/floor", "/cache", "/max", "bar", "verdict"),
    )
    header = (*left, "floor", "in cache", *right)
    lines = []
    for result in results:
        times, floor, verdict = result.times, result.floor(), result.verdicts()[0]
        below = [floor, IN_CACHE] if floor else [IN_CACHE]
        line = [
            result.row.name,
            _number(result.time()),
            f"{times.spread(OURS):.0%}",
            f"{times.disturbance:.2f}",
        ]
        line += [_number(times.median(floor)) if floor else "-", _number(times.median(IN_CACHE))]
        line += [f"{times.ratio(OURS, floor):.2f}" if floor else "-", f"{times.ratio(OURS, IN_CACHE):.2f}"]
        line += [f"{times.ratio_to_largest(OURS, below):.2f}"]
        line += [" or ".join(f"{bar.limit:g} {name}" for bar, name, _ in verdict.bars), str(verdict)]
        lines.append(line)
    return table(header, lines)


def peers_table(results: Sequence[Result]) -> str:
    """The same rows against what else there is: its time, and how many times as fast focalgrad is."""
    known = dict.fromkeys(name for result in results for name in result.times.rounds)
    names = [name for name in known if name not in {OURS, IN_CACHE, *_FLOOR_NAMES}]
    if not names:
        return ""
    lines = []
    for result in results:
        if not any(name in result.times for name in names):
            continue
        cells = [result.row.name, _number(result.time())]
        for name in names:
            cell = "-"
            if name in result.times:
                cell = f"{_number(result.time(name))} ({1 / result.times.ratio(OURS, name):.1f} x)"
            cells.append(cell + (" WRONG" if name in result.wrong else ""))
        verdict = result.verdicts()[1]
        bars = [str(bar) for bar, _, _ in verdict.bars] or ["-"]
        lines.append((*cells, *bars, str(verdict)))
    return table(("against others, ns/element", OURS, *names, f"bar against {C}", "verdict"), lines)


def compared_table(title: str, results: Sequence[Result]) -> str:
    """Rows with one line a reference."""
    lines = []
    for result in results:
        name, time, subject = result.row.name, _number(result.time()), result.row.subject
        noise = f"{result.times.disturbance:.2f}"
        if not any(verdict.bars for verdict in result.verdicts()):
            lines.append((name, time, subject, "-", "-", "-", "-", "-", noise))
        for verdict in result.verdicts():
            for i, (bar, other, ratio) in enumerate(verdict.bars):
                wrong = " WRONG" if other in result.wrong else ""
                last = str(verdict) if i == len(verdict.bars) - 1 else "or"
                shown = f"{1 / ratio:.2f} faster" if bar.faster else f"{ratio:.2f}"
                line = (name, time, subject, other + wrong, _number(result.time(other)))
                lines.append((*line, shown, str(bar), last, noise))
                name = time = subject = noise = ""
    unit = results[0].row.unit
    header = (title, unit, "of", "against", unit, "ratio", "bar", "verdict", "others")
    return table(header, lines)


def markdown(results: Sequence[Result]) -> str:
    """The README's table: the rows from memory that have peers."""
    lines = ["| ns per element | focalgrad | C -Ofast | NumPy | memory floor |", "|---|---:|---:|---:|---:|"]
    for result in results:
        if result.row.section != MEMORY or C not in result.times:
            continue
        others = (C, "NumPy", result.floor())
        cells = [f"{result.time(name):.2f}" if name in result.times else "-" for name in others]
        lines.append(f"| {result.row.name} | **{result.time():.2f}** | {' | '.join(cells)} |")
    return "\n".join(lines)


def as_json(result: Result) -> dict[str, Any]:
    """A row for `--json`: medians and spreads by contender, every verdict with its ratios."""
    verdicts = [
        {
            "met": verdict.met,
            "bars": [
                {"against": name, "ratio": ratio, "limit": bar.limit, "faster": bar.faster}
                for bar, name, ratio in verdict.bars
            ],
        }
        for verdict in result.verdicts()
    ]
    return {
        "name": result.row.name,
        "section": result.row.section,
        "unit": result.row.unit,
        "subject": result.row.subject,
        "median": {name: result.times.median(name) for name in result.times.rounds},
        "spread": {name: result.times.spread(name) for name in result.times.rounds},
        "rounds": result.times.rounds,
        "others": result.times.disturbance,
        "wrong": list(result.wrong),
        "verdicts": verdicts,
    }
