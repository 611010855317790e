"""Pictures of the report: SVG by matplotlib, in the colours of the page around them."""

from __future__ import annotations

import io
import math
from typing import Any

from focalgrad._evaluate import curves
from focalgrad._evaluate.errors import needed
from focalgrad._evaluate.numbers import View

# Stand for the page's own colours, which are light or dark: replaced in the finished picture.
INK, GRID = "#010203", "#040506"
#: Legible on light and on dark ground.
COLOURS = ("#8a8f98", "#3b82c4", "#2a9d8f", "#d9822b", "#c8453b", "#8e5bb5", "#6b8e23", "#b5651d")
FOCAL, ENTROPY = "#d9822b", "#3b82c4"

#: A picture: its title, what it says, the drawing.
Picture = tuple[str, str, str]


def pictures(view: View, report: dict[str, Any]) -> list[Picture]:
    """Draw every picture that there are numbers for."""
    matplotlib = needed("matplotlib", "the report")
    needed("matplotlib.figure", "the report")
    style = {
        "svg.fonttype": "none",  # text stays text: it can be searched, and takes the page's font
        "font.family": "sans-serif",
        "font.size": 10,
        "text.color": INK,
        "axes.edgecolor": GRID,
        "axes.labelcolor": INK,
        "axes.facecolor": "none",
        "axes.grid": True,
        "axes.axisbelow": True,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "grid.color": GRID,
        "grid.linewidth": 0.6,
        "xtick.color": INK,
        "ytick.color": INK,
        "legend.frameon": False,
        "legend.fontsize": 9,
        "lines.linewidth": 1.8,
    }
    found: list[Picture] = []
    with matplotlib.rc_context(style):
        for draw in (_cumulative, _gradient, _difficulty, _gammas, _reliability, _classes):
            figure_of = _Canvas(matplotlib, draw.__name__)
            said = draw(view, report, figure_of)
            if said is not None:
                found.append((*said, figure_of.svg()))
    return found


class _Canvas:
    """Makes one figure, and its SVG."""

    def __init__(self, matplotlib: Any, name: str) -> None:
        self._matplotlib, self._name = matplotlib, name
        self._figure: Any = None

    def axes(self, columns: int = 1, width: float = 5.2) -> Any:
        """Make axes side by side."""
        self._figure = self._matplotlib.figure.Figure(figsize=(width, 3.4), layout="constrained")
        self._figure.patch.set_alpha(0)
        return self._figure.subplots(1, columns, squeeze=False)[0]

    def svg(self) -> str:
        """Give the drawing, to stand in a page."""
        text = io.StringIO()
        # The names of parts are made from the salt: the same picture has the same bytes, and no two pictures
        # of a page the same names.
        with self._matplotlib.rc_context({"svg.hashsalt": self._name}):
            self._figure.savefig(
                text, format="svg", transparent=True, metadata={"Date": None, "Creator": None}
            )
        drawn = text.getvalue()
        drawn = drawn[drawn.index("<svg") :]
        return drawn.replace(INK, "currentColor").replace(GRID, "var(--line)")


Said = tuple[str, str] | None


def _cumulative(view: View, report: dict[str, Any], canvas: _Canvas) -> Said:
    """Figure 4 of the paper."""
    labels: list[tuple[int | None, str]] = (
        [(1, "positives"), (0, "negatives")] if view.binary else [(None, "all rows")]
    )
    gammas = curves.gammas_of(view)
    found = {(label, g): curves.cumulative(view, label, g) for label, _ in labels for g in gammas}
    if not any(found.values()):
        return None
    axes = canvas.axes(len(labels), 4.6 * len(labels))
    for axis, (label, name) in zip(axes, labels, strict=True):
        for i, gamma in enumerate(gammas):
            line = found[label, gamma]
            if line is not None:
                own = gamma == report["gamma"]
                style = {"color": COLOURS[i % len(COLOURS)], "linewidth": 2.8 if own else 1.5}
                axis.plot(*line, label=f"γ = {gamma:g}" + " (this loss)" * own, **style)
        axis.set(
            xlabel=f"fraction of {name}, the easiest first",
            ylabel="cumulative normalised loss",
            xlim=(0, 1),
            ylim=(0, 1),
        )
        axis.set_title(name, fontsize=11)
        if axis.lines:
            axis.legend(loc="upper left")
    return (
        "Who makes the loss?",
        "Figure 4 of Lin et al. on these data. Examples are sorted by their loss; a line shows which share "
        "of all loss the easiest so many of them make. The later a line rises, the fewer and harder are the "
        "examples that the loss is about.",
    )


def _bars(axis: Any, count: int, pairs: list[tuple[str, str, list[float]]]) -> None:
    width = 0.8 / len(pairs)
    for i, (label, colour, values) in enumerate(pairs):
        places = [j - 0.4 + width * (i + 0.5) for j in range(count)]
        axis.bar(places, [100 * value for value in values], width, label=label, color=colour)
    axis.grid(axis="x", visible=False)
    # Above the bars, which may stand anywhere.
    place = {"loc": "lower left", "bbox_to_anchor": (0, 1.04), "borderaxespad": 0}
    axis.legend(**place, ncols=len(pairs), columnspacing=1.2, handlelength=1.2)


def _steps(axis: Any, report: dict[str, Any]) -> None:
    """Name the edges between bars of difficulty: numbers stand upright, each once. Mark where easy ends."""
    steps = report["difficulty"]
    edges = [steps[0]["p_to"], *(each["p_from"] for each in steps)]
    names = [f"{p:.{2 if 0.01 < p < 0.99 else 3}f}".strip("0").removesuffix(".") or "0" for p in edges]
    axis.set_xticks([i - 0.5 for i in range(len(edges))], names)
    axis.set_xlim(-0.5, len(steps) - 0.5)
    middle = edges.index(0.5) - 0.5
    axis.axvline(middle, color=INK, linewidth=0.8, linestyle=":")
    for place, name in ((middle - 0.15, "easy"), (middle + 0.15, "hard")):
        side = "right" if place < middle else "left"
        axis.text(place, 1.0, name, ha=side, va="bottom", transform=axis.get_xaxis_transform(), fontsize=9)


def _known(report: dict[str, Any], key: str) -> list[float] | None:
    values = [each[key] for each in report["difficulty"]]
    return None if any(math.isnan(value) for value in values) else values


def _of_difficulty(report: dict[str, Any], canvas: _Canvas, key: str, what: str) -> bool:
    focal, entropy = _known(report, f"{key}_share"), _known(report, f"cross_entropy_{key}_share")
    if focal is None or entropy is None:
        return False
    axis = canvas.axes()[0]
    _bars(axis, len(focal), [("cross entropy", ENTROPY, entropy), ("this loss", FOCAL, focal)])
    _steps(axis, report)
    axis.set(xlabel="p_t, probability of the true class", ylabel=f"% of the {what}")
    return True


def _gradient(view: View, report: dict[str, Any], canvas: _Canvas) -> Said:
    if not _of_difficulty(report, canvas, "gradient", "gradient"):
        return None
    return (
        "Who makes the gradient?",
        "Shares of the sum of absolute gradients by the probability of the true class: on the left easy "
        "examples, on the right hard ones. What cross entropy gives to the left, focal loss takes away.",
    )


def _difficulty(view: View, report: dict[str, Any], canvas: _Canvas) -> Said:
    if not _of_difficulty(report, canvas, "loss", "loss"):
        return None
    return "Loss by difficulty", "The same for the losses themselves."


def _gammas(view: View, report: dict[str, Any], canvas: _Canvas) -> Said:
    line, easy = curves.by_gamma(view), curves.easy_share(view)
    if line is None or easy is None:
        return None
    axis = canvas.axes()[0]
    axis.plot(*line, color=FOCAL, label="loss, relative to γ = 0")
    axis.plot(*easy, color=ENTROPY, label="share of easy examples in the loss")
    gamma = report["gamma"]
    if isinstance(gamma, float) and gamma <= 5:
        axis.axvline(gamma, color=INK, linewidth=0.8, linestyle=":")
    axis.set(xlabel="γ", xlim=(0, 5), ylim=(0, 1.02))
    axis.legend(loc="best")
    return (
        "Loss against gamma",
        "Without alpha: how much of the loss is left at each gamma, and how much of that comes from easy "
        "examples. The dotted line is the gamma of this evaluation.",
    )


def _reliability(view: View, report: dict[str, Any], canvas: _Canvas) -> Said:
    found = report["reliability"]
    if found is None:
        return None
    axis = canvas.axes()[0]
    axis.plot([0, 1], [0, 1], color=INK, linewidth=0.8, linestyle=":")
    for name, colour in (("before", ENTROPY), ("after", FOCAL)):
        bins = [each for each in found[name] if each["count"]]
        x, y = [each["predicted"] for each in bins], [each["observed"] for each in bins]
        axis.plot(
            x,
            y,
            marker="o",
            markersize=4,
            color=colour,
            label=f"{name} posterior, error {found[f'error_{name}']:.3f}",
        )
    axis.set(xlabel="predicted probability", ylabel="observed frequency", xlim=(0, 1), ylim=(0, 1))
    axis.legend(loc="upper left")
    return (
        "Are the probabilities right?",
        "Training on focal loss distorts probabilities; loss.posterior undoes that for a model trained on "
        "this very loss. On the dotted line, what is predicted comes true as often as predicted.",
    )


def _classes(view: View, report: dict[str, Any], canvas: _Canvas) -> Said:
    classes = report["classes"]
    if not classes or len(classes) > 30:
        return None
    keys = ("gradient_share", "cross_entropy_gradient_share")
    if any(math.isnan(each[key]) for each in classes for key in keys):
        return None
    axis = canvas.axes()[0]
    focal, entropy = ([each[key] for each in classes] for key in keys)
    share = [0.0 if math.isnan(each["share"]) else each["share"] for each in classes]
    bars = [
        ("examples", COLOURS[0], share),
        ("gradient, cross entropy", ENTROPY, entropy),
        ("gradient, this loss", FOCAL, focal),
    ]
    _bars(axis, len(classes), bars)
    axis.set_xticks(range(len(classes)), [str(each["class"]) for each in classes])
    axis.set(xlabel="class", ylabel="%")
    return (
        "Classes",
        "Share of each class in the examples, and in the gradients of cross entropy and of this loss.",
    )
