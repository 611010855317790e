"""The command ``focalgrad``: what it is asked, what it prints, and how it ends."""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

import focalgrad as fg
from focalgrad._evaluate import arguments
from focalgrad._evaluate.errors import INTERRUPTED, BadData, shown

# What a shell reports for a program that SIGPIPE ended.
READER_GONE = 141


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, without the usage block in front of it."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: error: {shown(message)} (see {self.prog} --help)\n")


def _parser() -> _Parser:
    parser = _Parser(
        prog="focalgrad",
        description="Focal loss, its gradient and its Hessian over NumPy arrays, from a Rust core.",
        epilog="focalgrad COMMAND --help says more",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"focalgrad {fg.__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    title, _, details = (arguments.__doc__ or "").partition("\n")
    command = commands.add_parser(
        "evaluate",
        help="evaluate focal loss on data in files",
        description=title,
        epilog=details,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    arguments.add_arguments(command)
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
        request = arguments.request(options)
    except (TypeError, ValueError) as error:
        options.parser.error(str(error))
    report = request.run()
    if report["nan_losses"]:
        counted = f"{report['nan_losses']:,} of {report['examples']:,} losses are NaN"
        _say(f"warning: {counted} ({report['nan_logits']:,} logits are); they are in no group")
    if options.json:
        import json

        from focalgrad._evaluate.numbers import plain

        print(json.dumps(plain(report), allow_nan=False))
    else:
        from focalgrad._evaluate.text import table

        print(table(report))


def _config(options: argparse.Namespace) -> None:
    if options.json:
        import json

        print(json.dumps(fg.show_config(mode="dicts")))
    else:
        fg.show_config()


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
            options.command_line = ["focalgrad", *(sys.argv[1:] if arguments is None else arguments)]
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
