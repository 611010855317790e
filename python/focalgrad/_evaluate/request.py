"""What the command line asks for, and doing it."""

from __future__ import annotations

import argparse
import contextlib
import functools
import os
import shlex
import time
from dataclasses import dataclass
from typing import Any

from focalgrad._evaluate import cluster, progress, run, sources
from focalgrad._evaluate.columns import STDIN, Tables
from focalgrad._evaluate.errors import BadData, needed, shown
from focalgrad._evaluate.evaluation import Evaluation
from focalgrad._evaluate.output import takes, writing
from focalgrad._evaluate.pieces import NpyParts


@dataclass(frozen=True)
class Request:
    """An evaluation that is asked for.

    Parameters
    ----------
    options : argparse.Namespace
        What `arguments` parsed.
    found : Evaluation
        An empty one of the losses.
    tables : bool
        Whether the files are tables or archives, and names are columns or members.
    """

    options: argparse.Namespace
    found: Evaluation
    tables: bool

    @classmethod
    def of(cls, options: argparse.Namespace, loss: Any) -> Request:
        """Check that the options go together.

        Raises
        ------
        ValueError
            If they do not.
        """
        tables = _is_tables(options)
        if options.out is not None and not takes(options.out):
            raise ValueError(f"--out must end in .npy, .parquet, .arrow, .feather or .csv; got {options.out}")
        if options.write != "losses" and options.out is None:
            raise ValueError("--write says what goes to --out, which is missing")
        if not tables and (options.by is not None or options.label_map is not None):
            raise ValueError("--by and --label-map are for tables")
        if options.scheduler is not None:
            cluster.workers_of(options.scheduler)
            if options.out is not None or STDIN in options.files:
                raise ValueError("--scheduler goes with neither --out nor standard input")
        gamma = None if options.class_gamma is not None else options.gamma
        found = Evaluation(loss, gamma=gamma, detailed=options.report is not None)
        return cls(options, found, tables)

    def run(self) -> dict[str, Any]:
        """Evaluate, and write what is to be written; return what `to_dict` gives."""
        options, found = self.options, self.found
        if options.report is not None:
            needed("matplotlib", "--report")
        source = self._source()
        with contextlib.ExitStack() as stack:
            advance = stack.enter_context(progress.bar(source.rows))
            out = None
            if options.out is not None:
                out = stack.enter_context(writing(options.out, options.write, self._shape(source)))
            if options.scheduler is None:
                run.run(found, source, advance, out, options.write)
            else:
                begin = time.perf_counter()
                cluster.evaluate(found, self._openers(), options.scheduler, advance)
                run.describe(found, source, begin)
        found.by = options.by
        found.source["command"] = shlex.join(options.command_line)
        if options.report is not None:
            found.to_html(options.report)
        return found.to_dict()

    def _source(self) -> NpyParts | Tables:
        files = [sources.expanded(each) for each in self._named()]
        return self._opener(files)()

    def _named(self) -> list[Any]:
        """Files or patterns of tables; of .npy files those of logits, targets and weights."""
        options = self.options
        if self.tables:
            return [options.files]
        pair = options.files or (options.logits, options.targets)
        return [*pair] if options.sample_weight is None else [*pair, options.sample_weight]

    def _opener(self, files: list[list[str]]) -> cluster.Opener:
        options, loss = self.options, self.found.loss
        if not self.tables:
            logits, targets, *weight = files
            given = (loss, logits, targets, weight[0] if weight else None, options.chunk)
            return functools.partial(sources.open_arrays, *given)
        names = None if options.logits is None else options.logits.split(",")
        data = (files[0], names, options.targets, options.sample_weight, options.by, options.label_map)
        return functools.partial(sources.open_data, loss, *data, options.chunk)

    def _openers(self) -> list[cluster.Opener]:
        """One for each part, for workers whose working directory may be another."""
        files = [[os.path.abspath(path) for path in sources.expanded(each)] for each in self._named()]
        return [self._opener([[path] for path in part]) for part in zip(*files, strict=True)]

    def _shape(self, source: Any) -> tuple[int, ...] | None:
        """Give the shape that what is written has, where it is that of one array."""
        if not isinstance(source, NpyParts):
            return None
        logits = source.parts[0][0]
        if len(source.parts) > 1 and len(logits.shape) != 1:
            raise BadData(f"{shown(logits.path)}: --out takes one array, or parts of one dimension")
        if logits.fortran or any(shape.inner > 1 for shape in source.shapes):
            raise BadData(
                f"{shown(logits.path)}: --out takes arrays in C order whose class axis is the last one"
            )
        rows = sum(shape.outer for shape in source.shapes)
        if self.found.loss.class_axis is None:
            return logits.shape if len(source.parts) == 1 else (rows,)
        per_row = self.options.write == "losses" and hasattr(self.found.loss, "modulator")
        return logits.shape[:-1] if per_row else logits.shape


def _is_tables(options: argparse.Namespace) -> bool:
    """Tell by the names of the files what they are."""
    files = options.files
    if not files:
        if options.logits is None or options.targets is None:
            raise ValueError("LOGITS.npy and TARGETS.npy are required, or tables, or --logits and --targets")
        return False
    kinds = {sources.kind_of(file) for file in files}
    if kinds <= {"table", "npz"}:
        if options.loss == "sigmoid" and options.class_axis is None and "," in (options.logits or ""):
            raise ValueError("several columns of logits take --loss softmax or --class-axis -1")
        return True
    if options.logits is not None or options.targets is not None:
        raise ValueError("--logits and --targets are for tables and archives, or in place of files")
    if len(files) == 1:
        raise ValueError("TARGETS.npy is required beside the logits")
    if len(files) > 2:
        more = " ".join(files[2:5])
        raise ValueError(f"two .npy files are taken, or two patterns in quotes, but there is also: {more}")
    return False
