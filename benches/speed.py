"""Speed of focalgrad against the memory floor, NumPy and C, in one run and in turns.

    python benches/speed.py                     everything, a few minutes
    python benches/speed.py --quick             fewer rounds
    python benches/speed.py --only 'float32'    rows whose name matches a regular expression
    python benches/speed.py --markdown          the table of the README

See README.md in this folder for how to read the tables.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from pathlib import Path

import context
import machine
import native
import peers
import report
from measure import take_turns
from report import Result
from rows import CACHE, CALLS, MEMORY, SETTINGS, Row, all_rows

TITLES = {
    CACHE: "one thread, in cache",
    SETTINGS: "threads, instruction sets, arrays",
    CALLS: "one call",
}


def arguments(argv: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    available = peers.importable()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=10_000_000, help="elements of the arrays in memory")
    parser.add_argument(
        "--threads", type=int, default=min(2, machine.cores()), help="default: 2, as the bars"
    )
    parser.add_argument("--rounds", type=int, help="default: 15, with --quick 5")
    parser.add_argument(
        "--quick", action="store_true", help="fewer rounds, only NumPy and C beside focalgrad"
    )
    parser.add_argument(
        "--patience", type=int, default=2, help="where others disturb, at most 2 x the rounds"
    )
    parser.add_argument(
        "--wait", type=float, default=0, help="seconds to wait, in all, for others to be quiet"
    )
    parser.add_argument("--only", metavar="PATTERN", help="rows whose name matches this regular expression")
    parser.add_argument("--list", action="store_true", help="print the names of the rows and end")
    parser.add_argument(
        "--peers",
        metavar="NAMES",
        help=f"beside C, separated by commas; here: {','.join(available)}; or none",
    )
    parser.add_argument("--json", metavar="FILE", type=Path, help="write everything there too")
    parser.add_argument(
        "--markdown", action="store_true", help="print only the README's table (and the machine)"
    )
    chosen = parser.parse_args(argv)
    chosen.rounds = chosen.rounds or (5 if chosen.quick else 15)
    default = ["NumPy"] if chosen.quick or chosen.markdown else available
    names = (
        default
        if chosen.peers is None
        else [name for name in chosen.peers.split(",") if name not in {"", "none"}]
    )
    if unknown := set(names) - set(available):
        parser.error(
            f"--peers: {', '.join(sorted(unknown))} not importable here (there are: {', '.join(available)})"
        )
    chosen.peers = names
    return chosen


def select(rows: list[Row], chosen: argparse.Namespace) -> list[Row]:
    """The rows that the command line asks for."""
    if chosen.markdown:
        rows = [row for row in rows if row.section == MEMORY and "gamma 0" not in row.name]
    if chosen.only:
        rows = [row for row in rows if re.search(chosen.only, row.name, re.IGNORECASE)]
    return rows


def measure(row: Row, shared: context.Context, others: machine.Others, chosen: argparse.Namespace) -> Result:
    """Build a row, check that its contenders compute the same, and time them."""
    contenders = row.build(shared)
    wrong = tuple(context.disagreements(contenders))
    if wrong:
        print(f"warning: {row.name}: other results than {row.subject}: {', '.join(wrong)}", file=sys.stderr)
    return Result(row, take_turns(contenders, chosen.rounds, others, chosen.patience), wrong)


def run(rows: list[Row], shared: context.Context, chosen: argparse.Namespace) -> list[Result]:
    """Measure the rows one after the other and tell on stderr where it stands."""
    start, end = ("\r\033[K", "") if sys.stderr.isatty() else ("", "\n")
    others = machine.Others(shared.processes, chosen.wait)
    results = []
    for i, row in enumerate(rows, 1):
        print(f"{start}[{i}/{len(rows)}] {row.name}", end=end, file=sys.stderr, flush=True)
        results.append(measure(row, shared, others, chosen))
    print(start, end="", file=sys.stderr, flush=True)
    return results


def tables(results: list[Result]) -> str:
    """All tables as plain text."""
    by_section = {section: [r for r in results if r.row.section == section] for section in (MEMORY, *TITLES)}
    parts = []
    if memory := by_section[MEMORY]:
        parts += [report.memory_table(memory), report.peers_table(memory)]
    for section, title in TITLES.items():
        if by_section[section]:
            parts.append(report.compared_table(title, by_section[section]))
    verdicts = [verdict.met for result in results for verdict in result.verdicts()]
    parts.append(f"{verdicts.count(True)} bars met, {verdicts.count(False)} not met")
    return "\n\n".join(part for part in parts if part)


def main(argv: list[str] | None = None) -> None:
    """Run the bench."""
    chosen = arguments(argv)
    programs = native.load()
    note = "none found: no floors and no C" if programs is None else programs.note()
    shared = context.Context(chosen.size, chosen.threads, programs, chosen.peers)
    try:
        rows = select(all_rows(shared), chosen)
        if chosen.list:
            print("\n".join(row.name for row in rows))
            return
        facts = machine.describe(note) | {
            "run": f"{chosen.size:,} elements in memory, {chosen.threads} threads, {chosen.rounds} rounds"
        }
        print("\n".join(f"{key:<16}{value}" for key, value in facts.items()) + "\n", flush=True)
        context.warn_of_cache(chosen.size, machine.last_level_cache())
        results = run(rows, shared, chosen)
    finally:
        shared.close()
    print(report.markdown(results) if chosen.markdown else tables(results))
    if hasattr(os, "getloadavg"):
        facts["load after"] = ", ".join(f"{value:.2f}" for value in os.getloadavg())
    if chosen.json:
        document = {"machine": facts, "rows": [report.as_json(result) for result in results]}
        chosen.json.write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()
