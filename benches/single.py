"""The command of a bench that has one table: machine, rows in turns, table."""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Callable

import machine
import native
import report
from measure import take_turns
from report import Result
from rows import Row


def main(title: str, size: tuple[str, int, str], all_rows: Callable[[int, int], list[Row]]) -> None:
    """Run a bench.

    Parameters
    ----------
    title : str
        Of the table.
    size : tuple
        Name, default and help of the option that sets the size of the arrays.
    all_rows : callable
        Makes the rows from that size and the number of threads.
    """
    name, default, meaning = size
    parser = argparse.ArgumentParser(description=title)
    parser.add_argument(f"--{name}", dest="size", type=int, default=default, help=meaning)
    parser.add_argument("--threads", type=int, default=min(2, machine.cores()))
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--only", metavar="PATTERN", default="", help="rows whose name matches")
    chosen = parser.parse_args()
    programs = native.load()
    others = machine.Others(lambda: [os.getpid()], 0)
    facts = machine.describe("none: no floors" if programs is None else programs.note())
    facts["run"] = f"{name} {chosen.size:,}, {chosen.threads} threads, {chosen.rounds} rounds"
    print("\n".join(f"{key:<16}{value}" for key, value in facts.items()) + "\n", flush=True)
    results = []
    for row in all_rows(chosen.size, chosen.threads):
        if re.search(chosen.only, row.name, re.IGNORECASE):
            print(row.name, file=sys.stderr, flush=True)
            results.append(Result(row, take_turns(row.build(programs), chosen.rounds, others, 2)))
    print(report.compared_table(title, results))
