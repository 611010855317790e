"""Evaluate focal loss on data in files, beside cross entropy, and tell where both come from.

Data are two .npy files (or patterns in quotes, for parts: 'logits-*.npy' 'targets-*.npy'), or Parquet, Arrow,
Feather, CSV or .npz files whose columns or members --logits and --targets name; - is CSV from standard input.
They are read in pieces, and may be larger than memory. Losses and gradients come from the library; options
have the names that they have there.

A target of 0.5 or more is a positive. An example is easy where the model is right, p_t > 0.5 (p_t: the
probability it gives to the true class), and hard otherwise. NaN logits make the loss NaN, as in the library;
they are counted, told on stderr, and belong to no group. With --reduction none there is no single loss: the
smallest and the largest loss of an element are shown, and the gradient is that of the sum.

--json prints one object with these keys, always all of them; what is not known, and a number that is not
finite, is null:

  version, call, kind   of focalgrad; the loss as a Python expression; sigmoid or softmax
  alpha, gamma, reduction, normalizer
  logits, targets, sample_weight     each: path, dtype, shape (and column, or files if there are several)
  rows, elements        length of the first axis, or targets; number of logits
  examples, ignored     what is counted below: logits for sigmoid, rows for softmax; ignored ones among them
  positives, positive_share
  nan_logits, nan_losses, infinite_losses     how many examples
  focal, cross_entropy  each: loss (null for reduction none), gradient_norm (L2, of that loss's gradient),
                        loss_min, loss_max (of one example); cross entropy is alpha none, gamma 0
  gammas                for each --gamma: gamma, call, loss, gradient_norm, loss_min, loss_max,
                        positives_loss_share, positives_gradient_share, easy_loss_share, easy_gradient_share
  groups                positives, easy_positives, hard_positives, negatives, easy_negatives,
                        hard_negatives, easy, hard; each: count, share (of the examples), loss_share (of the
                        sum of losses), gradient_share (of the sum of |gradient|),
                        cross_entropy_loss_share, cross_entropy_gradient_share
  difficulty            the same by p_t, from p_from to p_to
  accuracy              share of the rows whose largest logit is that of their class
  classes               for each class: class, count, share, easy_share, the four shares of above, and
                        confusions: the class, count and share of what it is taken for most often
  reliability           before and after the posterior: bins with from, to, count, predicted, observed;
                        error_before, error_after (mean distance of predicted and observed)
  by                    column, and groups: value, rows, positives, loss, cross_entropy_loss, losses (for
                        each gamma), share, loss_share, gradient_share
  hardest               examples with the largest loss: row, class, target, logit, p_true, loss, file,
                        row_in_file
  timing                seconds (value and gradient of the focal loss: the best of "repeats" for each piece,
                        added up), total_seconds (everything), elements_per_second, gigabytes_per_second
                        (logits and targets read, losses and gradient written), repeats, chunk (elements in
                        a piece), threads, isa (instruction set)

Exit code: 0 done, 1 bad data or output that cannot be written, 2 usage, 130 interrupted, 141 the reader of
the output went away.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

#: Elements in a piece, as in `pieces`, which takes NumPy to import.
CHUNK = 1 << 18
#: Options of the constructors that only one loss has.
SIGMOID_ONLY = ("class_weight", "background_index", "soft_targets")
SOFTMAX_ONLY = ("modulator",)
OPTIONS = (
    "alpha",
    "reduction",
    "normalizer",
    "class_axis",
    "class_weight",
    "label_smoothing",
    "ignore_index",
    "background_index",
    "from_logits",
    "eps",
    "soft_targets",
    "modulator",
)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"takes a number, got {text!r}") from None


def _numbers(text: str) -> list[float]:
    return [_number(part) for part in text.split(",")]


def _number_or_several(text: str) -> float | list[float]:
    found = _numbers(text)
    return found[0] if len(found) == 1 else found


def _or_none(parse: Callable[[str], Any], what: str) -> Callable[[str], Any]:
    """Take "none" too; wrap the result, so that None can be told from what was not given."""

    def parsed(text: str) -> tuple[Any]:
        if text.lower() == "none":
            return (None,)
        try:
            return (parse(text),)
        except (ValueError, argparse.ArgumentTypeError):
            raise argparse.ArgumentTypeError(f"takes {what}, got {text!r}") from None

    return parsed


def _normalizer(text: str) -> Any:
    try:
        return float(text)
    except ValueError:
        return text


def _boolean(text: str) -> bool:
    known = {"yes": True, "true": True, "no": False, "false": False}
    if text.lower() not in known:
        raise argparse.ArgumentTypeError(f"takes yes or no, got {text!r}")
    return known[text.lower()]


def _elements(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"takes a whole number from 1 on, got {text!r}")
    return int(text)


def _whole(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"takes a whole number, got {text!r}") from None


def _label_map(text: str) -> dict[str, float]:
    """Labels and their numbers: no=0,yes=1, or a JSON object."""
    try:
        if text.lstrip().startswith("{"):
            import json

            return {str(label): float(number) for label, number in json.loads(text).items()}
        pairs = [part.rpartition("=") for part in text.split(",")]
        if not all(label for label, _, _ in pairs):
            raise ValueError
        return {label: float(number) for label, _, number in pairs}
    except (ValueError, TypeError):
        raise argparse.ArgumentTypeError(f"takes LABEL=NUMBER,... or a JSON object, got {text!r}") from None


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Add the arguments of `evaluate`."""
    command.add_argument(
        "files", nargs="*", metavar="FILE", help="LOGITS.npy TARGETS.npy; or tables or archives; - is CSV"
    )
    names = command.add_argument_group("columns of tables, members of archives, or .npy files")
    names.add_argument("--logits", metavar="NAMES", help="one, or one for each class: a,b,c (default logits)")
    names.add_argument("--targets", metavar="NAME", help="labels (default targets)")
    names.add_argument("--sample-weight", metavar="NAME", help="weights (default none)")
    names.add_argument("--by", metavar="NAME", help="print a line for each value of this column")
    names.add_argument(
        "--label-map", type=_label_map, metavar="LABEL=NUMBER,...", help="what labels in the table stand for"
    )
    _add_loss(command.add_argument_group("the loss"))
    shown = command.add_argument_group("results")
    shown.add_argument("--json", action="store_true", help="print one JSON object instead of the tables")
    shown.add_argument("--report", metavar="FILE.html", help="write a page with tables and pictures")
    shown.add_argument(
        "--out", metavar="FILE", help="write a number for each row: .npy, Parquet, Arrow or CSV"
    )
    shown.add_argument(
        "--write", choices=("losses", "gradients", "posteriors"), default="losses", help="what goes to --out"
    )
    command.add_argument(
        "--scheduler",
        metavar="ADDRESS|local[:N]",
        help="evaluate parts on a Dask cluster, or on N worker processes of this machine",
    )
    command.add_argument(
        "--chunk", type=_elements, default=CHUNK, help=f"elements in a piece (default {CHUNK})"
    )


def _add_loss(group: Any) -> None:
    group.add_argument("--loss", choices=("sigmoid", "softmax"), default="sigmoid", help="default sigmoid")
    group.add_argument(
        "--alpha",
        type=_or_none(_number_or_several, "a number or none"),
        help="0 to 1, one for each class: a,b,c, or none (default 0.25, for softmax none)",
    )
    group.add_argument(
        "--gamma",
        type=_numbers,
        default=[2.0],
        help="0 or more; of several, 0,0.5,1,2,5, each in turn (default 2)",
    )
    group.add_argument("--class-gamma", type=_numbers, help="a gamma for each class: a,b,c")
    group.add_argument("--reduction", choices=("mean", "sum", "none", "sum_classes"), help="default mean")
    group.add_argument(
        "--normalizer",
        type=_or_none(_normalizer, "a name or a number"),
        help="of the mean: none, weights, positives, focal_weights or a number",
    )
    group.add_argument(
        "--class-axis", type=_or_none(_whole, "a whole number or none"), help="where the classes are"
    )
    group.add_argument(
        "--class-weight", type=_or_none(_numbers, "numbers or none"), help="one for each class: a,b,c"
    )
    group.add_argument("--label-smoothing", type=_number, help="0 to 1 (default 0)")
    group.add_argument(
        "--ignore-index", type=_or_none(_number, "a number or none"), help="targets to leave out"
    )
    group.add_argument(
        "--background-index",
        type=_or_none(_whole, "a whole number or none"),
        help="the target without a class",
    )
    group.add_argument("--from-logits", type=_boolean, help="yes, or no if the input is probabilities")
    group.add_argument("--eps", type=_number, help="distance from 0 and 1 to which probabilities are clipped")
    group.add_argument("--soft-targets", choices=("mixture", "expected", "quality"), help="default mixture")
    group.add_argument("--modulator", choices=("softmax", "sigmoid"), help="default softmax")


def request(options: argparse.Namespace) -> Any:
    """Make what `request` runs.

    Raises
    ------
    TypeError, ValueError
        If the options do not go together.
    """
    from focalgrad._evaluate.request import Request

    return Request.of(options, loss_of(options))


def loss_of(options: argparse.Namespace) -> Any:
    """Make the loss that the options describe.

    Raises
    ------
    TypeError, ValueError
        If there is none.
    """
    import focalgrad as fg

    given: dict[str, Any] = {}
    for name in OPTIONS:
        value = getattr(options, name)
        if value is not None:
            given[name] = value[0] if isinstance(value, tuple) else value
    foreign = SOFTMAX_ONLY if options.loss == "sigmoid" else SIGMOID_ONLY
    for name in foreign:
        if name in given:
            raise ValueError(f"--{name.replace('_', '-')} is no option of the {options.loss} loss")
    for gamma in options.gamma:  # each is asked for, so that a bad one is found before data are read
        given["gamma"] = gamma
        loss = fg.SigmoidFocalLoss(**given) if options.loss == "sigmoid" else fg.SoftmaxFocalLoss(**given)
    if options.class_gamma is not None:
        if len(options.gamma) > 1:
            raise ValueError("--class-gamma is taken with one --gamma at most")
        return loss.replace(gamma=options.class_gamma, normalizer=loss.normalizer)
    return loss.replace(gamma=options.gamma[0], normalizer=loss.normalizer)
