"""Evaluate focal loss on two NumPy files and set it beside cross entropy.

LOGITS holds numbers before the sigmoid, TARGETS 0 or 1 in the same shape, both as .npy files. They are read
in pieces through a memory map, so they may be larger than memory. Losses and gradients come from the library.

A target of 0.5 or more is a positive. An example is easy where the model is right, p_t > 0.5 (p_t: the
probability it gives to the true class), and hard otherwise. NaN logits make the loss NaN, as in the library;
they are counted, told on stderr, and belong to no group. With --reduction none there is no single loss: the
smallest and the largest loss of an element are shown, and the gradient is that of the sum.

--json prints one object with these keys, always all of them; a number that is not finite is null:

  version, call         of focalgrad; the loss as a Python expression
  alpha, gamma, reduction
  logits, targets       each: path, dtype, shape
  rows, elements        length of the first axis; number of logits
  positives, positive_share
  nan_logits, nan_losses, infinite_losses     how many elements
  focal, cross_entropy  each: loss (null for reduction none), gradient_norm (L2, of that loss's gradient),
                        loss_min, loss_max (of one element); cross entropy is alpha none, gamma 0
  groups                positives, easy_positives, hard_positives, negatives, easy_negatives,
                        hard_negatives, easy, hard; each: count, share (of the elements), loss_share (of the
                        sum of losses), gradient_share (of the sum of |gradient|),
                        cross_entropy_loss_share, cross_entropy_gradient_share
  timing                seconds (value and gradient of the focal loss: the best of "repeats" for each piece,
                        added up), total_seconds (everything), elements_per_second, gigabytes_per_second
                        (logits and targets read, gradient written), repeats, chunk (elements in a piece),
                        threads, isa (instruction set)

Exit code: 0 done, 1 bad data or output that cannot be written, 2 usage, 130 interrupted, 141 the reader of
the output went away.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import math
import os
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

import focalgrad as fg
from focalgrad._evaluate import CHUNK, BadData, NpyFile, evaluate, shown

# What a shell reports for a program that SIGINT or SIGPIPE ended.
INTERRUPTED, READER_GONE = 130, 141


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, without the usage block in front of it."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: error: {shown(message)} (see {self.prog} --help)\n")


def _alpha(text: str) -> float | None:
    try:
        return None if text.lower() == "none" else float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"takes a number or none, got {text!r}") from None


def _gamma(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"takes a number, got {text!r}") from None


def _elements(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"takes a whole number from 1 on, got {text!r}")
    return int(text)


def _parser() -> _Parser:
    parser = _Parser(
        prog="focalgrad",
        description="Focal loss, its gradient and its Hessian over NumPy arrays, from a Rust core.",
        epilog="focalgrad COMMAND --help says more",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"focalgrad {fg.__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    title, _, details = (__doc__ or "").partition("\n")
    command = commands.add_parser(
        "evaluate",
        help="evaluate focal loss on two .npy files",
        description=title,
        epilog=details,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    command.add_argument("logits", metavar="LOGITS.npy", help="numbers before the sigmoid, of any shape")
    command.add_argument("targets", metavar="TARGETS.npy", help="0 and 1, of the same shape")
    command.add_argument("--alpha", type=_alpha, default=0.25, help="0 to 1, or none (default 0.25)")
    command.add_argument("--gamma", type=_gamma, default=2.0, help="0 or more (default 2)")
    reductions = ("mean", "sum", "none")
    command.add_argument(
        "--reduction", choices=reductions, default="mean", help="of the loss shown (default mean)"
    )
    command.add_argument(
        "--chunk", type=_elements, default=CHUNK, help=f"elements in a piece (default {CHUNK})"
    )
    command.add_argument("--json", action="store_true", help="print one JSON object instead of the table")
    command.set_defaults(run=_evaluate, parser=command)

    command = commands.add_parser(
        "config",
        help="print version, instruction sets, threads",
        allow_abbrev=False,
        description="Print version, instruction set in use and available, threads and CUDA.",
    )
    command.add_argument("--json", action="store_true", help="print one JSON object")
    command.set_defaults(run=_config, parser=command)
    return parser


def _evaluate(options: argparse.Namespace) -> None:
    try:  # the loss checks its parameters; asking it here makes a bad one a usage error
        fg.SigmoidFocalLoss(options.alpha, options.gamma, reduction=options.reduction)
    except (TypeError, ValueError) as error:
        options.parser.error(str(error))
    with NpyFile.open(options.logits) as logits, NpyFile.open(options.targets) as targets:
        report = evaluate(logits, targets, options.alpha, options.gamma, options.reduction, options.chunk)
    if report["nan_losses"]:
        counted = f"{report['nan_losses']:,} of {report['elements']:,} losses are NaN"
        _say(f"warning: {counted} ({report['nan_logits']:,} logits are); they are in no group")
    print(json.dumps(_finite(report), allow_nan=False) if options.json else _table(report))


def _config(options: argparse.Namespace) -> None:
    if options.json:
        print(json.dumps(fg.show_config(mode="dicts")))
    else:
        fg.show_config()


def _finite(value: Any) -> Any:
    """Put None for the numbers that JSON does not have."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _percent(share: float) -> str:
    return "-" if math.isnan(share) else f"{share:.2%}"


def _table(report: dict[str, Any]) -> str:
    """Lay the report out for a person."""
    lines = [f"focalgrad {report['version']}   {report['call']}", ""]
    names = [shown(report[side]["path"]) for side in ("logits", "targets")]
    for side, name in zip(("logits", "targets"), names, strict=True):
        shape = " x ".join(f"{n:,}" for n in report[side]["shape"]) or "scalar"
        lines.append(f"{side:<12}{name:<{max(map(len, names))}}   {report[side]['dtype']}, {shape}")
    lines.append(f"{'rows':<12}{report['rows']:,}")
    if report["elements"] != report["rows"]:
        lines.append(f"{'elements':<12}{report['elements']:,}")
    lines.append(f"{'positives':<12}{report['positives']:,} ({_percent(report['positive_share'])})")
    if report["nan_losses"]:
        counts = f"{report['nan_losses']:,} of the losses, {report['nan_logits']:,} of the logits"
        lines.append(f"{'NaN':<12}{counts}; in no group below")
    if report["infinite_losses"]:
        lines.append(f"{'infinite':<12}{report['infinite_losses']:,} of the losses")
    return "\n".join([*lines, "", *_losses(report), "", *_shares(report), "", *_time(report)])


def _losses(report: dict[str, Any]) -> list[str]:
    rows = {f"loss ({report['reduction']})": "loss", "gradient norm": "gradient_norm"}
    if report["reduction"] == "none":
        rows = {
            "smallest loss": "loss_min",
            "largest loss": "loss_max",
            "gradient norm of the sum": "gradient_norm",
        }
    lines = [f"{'':<26}{'focal loss':>16}{'cross entropy':>16}"]
    for title, key in rows.items():
        lines.append(f"{title:<26}{report['focal'][key]:>16.7g}{report['cross_entropy'][key]:>16.7g}")
    return lines


def _shares(report: dict[str, Any]) -> list[str]:
    lines = [
        f"{'':<32}{'share of the loss':^28}{'share of the gradient':^28}".rstrip(),
        f"{'':<12}{'count':>12}{'share':>8}" + 2 * f"{'focal':>12}{'cross entropy':>16}",
    ]
    for name, group in report["groups"].items():
        title, _, parent = name.partition("_")
        columns = ("loss_share", "cross_entropy_loss_share", "gradient_share", "cross_entropy_gradient_share")
        cells = "".join(
            f"{_percent(group[key]):>{width}}" for key, width in zip(columns, (12, 16) * 2, strict=True)
        )
        indented = f"  {title}" if parent else title
        lines.append(f"{indented:<12}{group['count']:>12,}{_percent(group['share']):>8}{cells}")
    easy = report["groups"]["easy"]
    before, after = easy["cross_entropy_gradient_share"], easy["gradient_share"]
    lines += ["", "easy: p_t > 0.5, the model is right; hard: the rest; gradient: sum of its absolute values"]
    if not math.isnan(before + after):
        lines.append(
            f"Easy examples are {_percent(easy['share'])} of all; they make {_percent(before)} of the "
            f"gradient of cross entropy and {_percent(after)} of this loss's."
        )
    return lines


def _time(report: dict[str, Any]) -> list[str]:
    timing = report["timing"]
    lines = []
    if timing["seconds"]:
        elements, bytes_ = timing["elements_per_second"] / 1e6, timing["gigabytes_per_second"]
        speed = f"{elements:,.0f} M elements/s, {bytes_:.2f} GB/s"
        lines.append(f"value and gradient in {timing['seconds'] * 1e3:,.3f} ms: {speed}")
    how = f"best of {timing['repeats']}, at most {timing['chunk']:,} elements at a time"
    where = f"{timing['isa']}, threads: {timing['threads']}"
    lines.append(f"({how}; {where}; all of the above in {timing['total_seconds']:.2f} s)")
    return lines


def _say(message: str) -> None:
    with contextlib.suppress(OSError, ValueError):  # stderr may be closed, too
        print(f"focalgrad: {message}", file=sys.stderr)


def _abandon_stdout() -> None:
    """Point stdout at nothing, or the interpreter tries the write again at exit and complains of it."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    arguments : sequence of str, optional
        In place of ``sys.argv[1:]``.

    Returns
    -------
    int
        The exit code: 0, 1 for bad data, 2 for wrong usage, 130 when interrupted, 141 for a closed pipe.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(
            errors="backslashreplace"
        )  # a file name that the terminal cannot show is no failure
    try:
        try:
            options = _parser().parse_args(arguments)
            options.run(options)
            code = 0
        except SystemExit as leaving:  # argparse: after --help, --version and usage errors
            code = leaving.code if isinstance(leaving.code, int) else 0
        if sys.stdout is not None:
            sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        _say("interrupted")
        return INTERRUPTED
    except BrokenPipeError:
        _abandon_stdout()
        return READER_GONE
    except BadData as error:
        _say(f"error: {error}")
        return 1
    except MemoryError:
        _say("error: out of memory (a smaller --chunk takes less)")
        return 1
    except OSError as error:  # of a file it would be BadData
        _abandon_stdout()
        _say(f"error: cannot write the output: {error.strerror or error}")
        return 1
