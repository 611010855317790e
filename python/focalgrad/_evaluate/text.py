"""An evaluation as tables for a terminal."""

from __future__ import annotations

import math
from typing import Any

from focalgrad._evaluate.errors import shown

#: Lines of a table of groups or classes.
MOST_LINES = 50


def percent(share: float | None) -> str:
    """Write a share for people."""
    return "-" if share is None or math.isnan(share) else f"{share:.2%}"


def number(value: float | None) -> str:
    """Write a number for people."""
    return "-" if value is None or math.isnan(value) else f"{value:.7g}"


def table(report: dict[str, Any]) -> str:
    """Lay out what `to_dict` gives."""
    lines = [f"focalgrad {report['version']}   {report['call']}", ""]
    sides = [side for side in ("logits", "targets", "sample_weight") if report[side]]
    names = [_name(report[side]) for side in sides]
    for side, name in zip(sides, names, strict=True):
        shape = " x ".join("?" if n is None else f"{n:,}" for n in report[side]["shape"]) or "scalar"
        title = side.replace("sample_weight", "weights")
        lines.append(f"{title:<12}{name:<{max(map(len, names))}}   {report[side]['dtype']}, {shape}")
    lines.append(f"{'rows':<12}{report['rows']:,}")
    if report["elements"] != report["rows"]:
        lines.append(f"{'elements':<12}{report['elements']:,}")
    if report["ignored"]:
        lines.append(f"{'ignored':<12}{report['ignored']:,}")
    if report["positives"] is not None:
        lines.append(f"{'positives':<12}{report['positives']:,} ({percent(report['positive_share'])})")
    else:
        lines.append(f"{'accuracy':<12}{percent(report['accuracy'])}")
    if report["nan_losses"]:
        counts = f"{report['nan_losses']:,} of the losses, {report['nan_logits']:,} of the logits"
        lines.append(f"{'NaN':<12}{counts}; in no group below")
    if report["infinite_losses"]:
        lines.append(f"{'infinite':<12}{report['infinite_losses']:,} of the losses")
    parts = [
        _losses(report),
        _gammas(report),
        _shares(report),
        _classes(report),
        _groups(report),
        _time(report),
    ]
    for part in parts:
        if part:
            lines += ["", *part]
    return "\n".join(lines)


def _name(about: dict[str, Any]) -> str:
    name = shown(about["path"])
    if "column" in about:
        return f"{name} ({shown(about['column'])})"
    return f"{name} and {about['files'] - 1:,} more" if "files" in about else name


def _losses(report: dict[str, Any]) -> list[str]:
    rows = {f"loss ({report['reduction']})": "loss", "gradient norm": "gradient_norm"}
    if report["focal"]["loss"] is None:
        rows = {
            "smallest loss": "loss_min",
            "largest loss": "loss_max",
            "gradient norm of the sum": "gradient_norm",
        }
    lines = [f"{'':<26}{'focal loss':>16}{'cross entropy':>16}"]
    for title, key in rows.items():
        focal, entropy = number(report["focal"][key]), number(report["cross_entropy"][key])
        lines.append(f"{title:<26}{focal:>16}{entropy:>16}")
    return lines


def _gammas(report: dict[str, Any]) -> list[str]:
    if len(report["gammas"]) < 2:
        return []
    titles = ("loss", "gradient norm", "easy: loss", "easy: gradient", "largest loss")
    lines = [f"{'gamma':<10}" + "".join(f"{title:>16}" for title in titles)]
    for each in report["gammas"]:
        cells = (
            number(each["loss"]),
            number(each["gradient_norm"]),
            percent(each["easy_loss_share"]),
            percent(each["easy_gradient_share"]),
            number(each["loss_max"]),
        )
        lines.append(f"{each['gamma']:<10g}" + "".join(f"{cell:>16}" for cell in cells))
    return lines


SHARES = ("loss_share", "cross_entropy_loss_share", "gradient_share", "cross_entropy_gradient_share")


def _cells(group: dict[str, Any]) -> str:
    return "".join(f"{percent(group[key]):>{width}}" for key, width in zip(SHARES, (12, 16) * 2, strict=True))


def _shares(report: dict[str, Any]) -> list[str]:
    lines = [
        f"{'':<32}{'share of the loss':^28}{'share of the gradient':^28}".rstrip(),
        f"{'':<12}{'count':>12}{'share':>8}" + 2 * f"{'focal':>12}{'cross entropy':>16}",
    ]
    for name, group in report["groups"].items():
        if group["count"] is None:
            continue
        title, _, parent = name.partition("_")
        if parent and report["positives"] is None:
            continue
        indented = f"  {title}" if parent else title
        lines.append(f"{indented:<12}{group['count']:>12,}{percent(group['share']):>8}{_cells(group)}")
    easy = report["groups"]["easy"]
    before, after = easy["cross_entropy_gradient_share"], easy["gradient_share"]
    lines += ["", "easy: p_t > 0.5, the model is right; hard: the rest; gradient: sum of its absolute values"]
    if not math.isnan(before + after):
        lines.append(
            f"Easy examples are {percent(easy['share'])} of all; they make {percent(before)} of the "
            f"gradient of cross entropy and {percent(after)} of this loss's."
        )
    return lines


def _classes(report: dict[str, Any]) -> list[str]:
    if not report["classes"]:
        return []
    lines = [
        f"{'class':<12}{'count':>12}{'share':>8}" + 2 * f"{'focal':>12}{'cross entropy':>16}" + "   taken for"
    ]
    for each in report["classes"][:MOST_LINES]:
        others = ", ".join(
            f"{other['class']} ({percent(other['share'])})" for other in each["confusions"] or []
        )
        counted = f"{each['class']:<12}{each['count']:>12,}{percent(each['share']):>8}"
        lines.append(f"{counted}{_cells(each)}   {others}".rstrip())
    return lines + _rest(len(report["classes"]), "classes")


def _groups(report: dict[str, Any]) -> list[str]:
    if report["by"] is None:
        return []
    groups = report["by"]["groups"]
    names = [shown(group["value"]) for group in groups]
    width = max([12, len(str(report["by"]["column"])) + 2, *(len(name) + 2 for name in names)])
    titles = ("rows", "positives", "loss", "cross entropy", "of the loss", "of the gradient")
    lines = [f"{shown(report['by']['column']):<{width}}" + "".join(f"{title:>16}" for title in titles)]
    for name, group in list(zip(names, groups, strict=True))[:MOST_LINES]:
        positives = "-" if group["positives"] is None else f"{group['positives']:,}"
        cells = (
            f"{group['rows']:,}",
            positives,
            number(group["loss"]),
            number(group["cross_entropy_loss"]),
            percent(group["loss_share"]),
            percent(group["gradient_share"]),
        )
        lines.append(f"{name:<{width}}" + "".join(f"{cell:>16}" for cell in cells))
    return lines + _rest(len(groups), "groups")


def _rest(count: int, what: str) -> list[str]:
    return [f"... and {count - MOST_LINES:,} more {what}: --json has all"] if count > MOST_LINES else []


def _time(report: dict[str, Any]) -> list[str]:
    timing = report["timing"]
    lines = []
    if timing["seconds"]:
        elements, bytes_ = timing["elements_per_second"] / 1e6, timing["gigabytes_per_second"]
        speed = f"{elements:,.0f} M elements/s, {bytes_:.2f} GB/s"
        lines.append(f"value and gradient in {timing['seconds'] * 1e3:,.3f} ms: {speed}")
    how = f"best of {timing['repeats']}, " if timing["repeats"] > 1 else ""
    how += f"at most {timing['chunk']:,} elements at a time"
    where = f"{timing['isa']}, threads: {timing['threads']}"
    lines.append(f"({how}; {where}; all of the above in {timing['total_seconds']:.2f} s)")
    return lines
