"""The picture of a campaign: every statistic against its dose, or what the campaign varies (needs matplotlib)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle
from typing import TYPE_CHECKING, Any

from verify.campaigns.answers import Curve
from verify.campaigns.page import points
from verify.trial.plots import PlotError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLOURS = ("#0b6aa8", "#c4461b", "#3b7d4f", "#7a5195", "#b8860b", "#59636e")
_GREY = "#59636e"
_WIDTH, _HEIGHT = 2.9, 2.1  # of a panel, in inches


def _lines(curves: Sequence[Curve]) -> dict[str, list[tuple[float, float, float, float]]]:
    """Return x, mean and both ends of every line of a panel, by its label.

    x is the slow time, or the steps of what has none; where the campaign varies something, x is that, a line a dose.
    """
    found: dict[str, list[tuple[float, float, float, float]]] = {}
    for curve in curves:
        factor = points(curve)
        for answer in curve.answers:
            dose = answer.slow_time or float(answer.dose or 0)
            varied = [float(value) for value in curve.point.values()]
            x, label = (varied[0], f"dose {dose:g}") if varied else (dose, curve.question.words)
            found.setdefault(label, []).append(
                (x, factor * answer.interval.estimate, factor * answer.low, factor * answer.high)
            )
    return found


def draw(curves: Sequence[Curve]) -> Figure:
    """Draw a row of panels for each question, a column for each language, intervals as the tables have them.

    Raises:
        PlotError: there is nothing to draw, or matplotlib is missing.
    """
    try:
        import matplotlib as mpl
        from matplotlib.figure import Figure
    except ImportError as error:
        raise PlotError("expected matplotlib, found none; install it with: pip install 'flatproof[draw]'") from error
    if not curves:
        raise PlotError("expected answers of at least one question, found none; run the campaign")
    families = list(dict.fromkeys(curve.family for curve in curves))
    questions = list({id(curve.question): curve.question for curve in curves}.values())
    with mpl.rc_context({"font.family": "sans-serif", "font.sans-serif": ["DejaVu Sans", "Arial"], "font.size": 7}):
        figure = Figure(figsize=(_WIDTH * len(families), _HEIGHT * len(questions)), facecolor="white")
        panels = figure.subplots(len(questions), len(families), squeeze=False, sharex=True, sharey="row")
        for own, row in zip(questions, panels, strict=True):
            for family, axes in zip(families, row, strict=True):
                _panel(axes, [curve for curve in curves if curve.question is own and curve.family == family])
            unit = " (points)" if own.statistic == "gain" else ""
            row[0].set_ylabel(f"{own.words}{unit}".replace(", ", ",\n"))
        for family, axes in zip(families, panels[0], strict=True):
            axes.set_title(family, size=8)
        varied = [key.replace("_", " ") for key in curves[0].point]
        for axes in panels[-1]:
            axes.set_xlabel(varied[0] if varied else "slow time τ, or steps")
        figure.tight_layout()
    return figure


def _panel(axes: Axes, curves: Sequence[Curve]) -> None:
    style: dict[str, Any] = {"marker": "o", "ms": 3, "lw": 1, "capsize": 2}
    axes.set_xscale("log")
    axes.axhline(0, color=_GREY, lw=0.6)
    for colour, (label, line) in zip(cycle(_COLOURS), _lines(curves).items(), strict=False):
        x, mean, low, high = (list(own) for own in zip(*sorted(line), strict=True))
        ends = [[m - a for m, a in zip(mean, low, strict=True)], [b - m for m, b in zip(mean, high, strict=True)]]
        axes.errorbar(x, mean, ends, color=colour, label=label, **style)
    for curve in curves[:1]:
        axes.axhline(points(curve) * curve.design.target, color=_GREY, lw=0.8, ls="--")
        if curve.point:
            axes.legend(frameon=False, fontsize=6)
    axes.spines[["right", "top"]].set_visible(False)
