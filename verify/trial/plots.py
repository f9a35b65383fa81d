"""Pictures of evidence: all claims on one axis (needs matplotlib, the extra `draw`)."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from theory.claims import CLAIMS
from verify.trial.design import Design
from verify.trial.evidence import Evidence
from verify.trial.measurement import Measurement
from verify.trial.report import measured, predicted, worded

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

REACH = 5.0
"""Half the length of the axis, in margins; what lies beyond is shown by an arrow."""
_WIDTH, _TITLES, _WORDS = 600.0, 248.0, 124.0  # of the picture and its outer columns; lengths are in points
_ROW, _GAP, _TOP, _BOTTOM = 25.0, 22.0, 34.0, 56.0
_SHAPES = {"supported": ("o", "#0b6aa8"), "inconclusive": ("D", "#6f6f6f"), "refuted": ("s", "#c4461b")}
_INK, _GREY, _BAND = "#1f2328", "#59636e", "#e4efe6"
_LABELS = {"supported": "supported (> 0, < 0: its sign)"}
_STYLE = {"svg.fonttype": "none", "svg.hashsalt": "flatproof"}
_METADATA = {"Date": None, "Title": "Every claim's measured interval, in units of its margin, with its verdict"}


class PlotError(ValueError):
    """There is nothing to draw, or nothing to draw it with."""


@dataclass(frozen=True)
class Bar:
    """An interval as a departure from what was predicted, in margins δ; to the right is more than was claimed."""

    estimate: float
    low: float
    high: float

    @classmethod
    def of(cls, m: Measurement, design: Design) -> Bar:
        """Scale a measurement: ±(· − target)/δ, minus for a claim of the form ≤ target."""
        estimate, low, high = ((x - m.target) / design.delta for x in (m.estimate, m.low, m.high))
        return cls(-estimate, -high, -low) if design.side == "upper" else cls(estimate, low, high)


@dataclass(frozen=True)
class Row:
    """A claim of the picture.

    Attributes:
        evidence: what it shows.
        headline: the interval that decided.
        others: the other intervals of the same design.
    """

    evidence: Evidence
    headline: Bar
    others: tuple[Bar, ...]

    @classmethod
    def of(cls, evidence: Evidence) -> Row:
        """Scale the intervals of the design that decided."""
        design, headline = evidence.headline_design, evidence.headline
        own = (m for m in evidence.measurements if m.statistic == design.statistic and m is not headline)
        return cls(evidence, Bar.of(headline, design), tuple(Bar.of(m, design) for m in own))

    @property
    def chapter(self) -> str:
        return CLAIMS[self.evidence.claim].chapter

    @property
    def sign_only(self) -> bool:
        """Whether the margin reaches to no effect at all."""
        design = self.evidence.headline_design
        return design.side != "two" and design.delta == abs(design.target)


def rows(evidence: Iterable[Evidence]) -> list[Row]:
    """Return what the picture shows, in the order of the book."""
    found = {item.claim: item for item in evidence}
    return [Row.of(found[claim]) for claim in CLAIMS if claim in found]


def forest(evidence: Iterable[Evidence]) -> Figure:
    """Draw a forest plot: a row for each claim, grouped by chapter, with the interval that decided it.

    All share one axis, (measured − predicted)/δ, so that 0 is the prediction and ±1 the declared margin; claims of the
    form ≤ are turned round. Shaded is what supports a claim. Thin lines are the other instances or languages.

    Raises:
        PlotError: there is no evidence of a known claim, or matplotlib is missing.
    """
    try:
        import matplotlib as mpl
        from matplotlib.figure import Figure
    except ImportError as error:
        raise PlotError("expected matplotlib, found none; install it with: pip install 'flatproof[draw]'") from error
    chapters = [(chapter, list(own)) for chapter, own in groupby(rows(evidence), key=lambda row: row.chapter)]
    if not chapters:
        raise PlotError("expected evidence of at least one claim, found none")
    height = _TOP + _BOTTOM + sum(_GAP + _ROW * len(own) for _, own in chapters)
    with mpl.rc_context({"font.family": "sans-serif", "font.sans-serif": ["DejaVu Sans", "Arial"], "font.size": 8}):
        figure = Figure(figsize=(_WIDTH / 72, height / 72), facecolor="white")
        axes = figure.add_axes(
            (_TITLES / _WIDTH, _BOTTOM / height, 1 - (_TITLES + _WORDS) / _WIDTH, 1 - (_TOP + _BOTTOM) / height)
        )
        axes.set(xlim=(-REACH, REACH), ylim=(height - _TOP - _BOTTOM, 0), yticks=[], xticks=range(-5, 6))
        axes.tick_params(colors=_GREY, length=2, labelsize=7.5)
        axes.spines[["left", "right", "top"]].set_visible(False)
        axes.spines["bottom"].set_color(_GREY)
        axes.set_xlabel("(measured − claimed) ÷ margin δ", size=8, color=_INK)
        y = 0.0
        for chapter, own in chapters:
            _write(axes, 8 - _TITLES, y + _GAP - 7, chapter.replace("_", " ").capitalize(), weight="bold", size=8.5)
            y += _GAP
            for row in own:
                _draw(axes, row, y + _ROW / 2)
                y += _ROW
        axes.axvline(0, color=_GREY, lw=0.9, zorder=1)
        for x, up, word in ((-1, 4, "−δ"), (0, 14, "as claimed"), (1, 4, "+δ"), (-3, 14, "← less"), (3, 14, "more →")):
            axes.annotate(word, (x, 0), (0, up), textcoords="offset points", ha="center", size=7.5, color=_GREY)
        _legend(axes)
    return figure


def save(figure: Figure, path: str | Path) -> None:
    """Write a picture; an SVG has the same bytes for the same evidence and version of matplotlib."""
    import matplotlib as mpl

    # Text stays text: smaller, searchable, and independent of which fonts the machine has.
    with mpl.rc_context(_STYLE):
        figure.savefig(path, metadata=_METADATA if Path(path).suffix == ".svg" else None)


def _draw(axes: Axes, row: Row, y: float) -> None:
    item, side = row.evidence, row.evidence.headline_design.side
    shape, color = _SHAPES[item.verdict]
    supports = (-1.0, 1.0 if side == "two" else REACH)
    axes.fill_between(supports, y - _ROW / 2, y + _ROW / 2, color=_BAND, lw=0.5, zorder=0)
    if row.sign_only:
        axes.plot((-1, -1), (y - _ROW / 2, y + _ROW / 2), color=_INK, lw=1.2, zorder=2)
    for bar, offset in zip(row.others, _offsets(len(row.others)), strict=True):
        _interval(axes, bar, y + offset, color, lw=0.8, alpha=0.45)
    _interval(axes, row.headline, y, color, lw=1.8)
    if abs(row.headline.estimate) < REACH:
        axes.plot(row.headline.estimate, y, shape, ms=5, color=color, mec="white", mew=0.6, zorder=4)
    _write(axes, 8 - _TITLES, y, "\n".join(textwrap.wrap(CLAIMS[item.claim].title, 50)), linespacing=1.15)
    word = worded(item.verdict, item.headline_design).lower()
    _write(axes, 8.0, y - 5, word, right=True, color=color, weight="bold")
    _write(axes, _WORDS - 8, y - 5, predicted(item.headline_design), right=True, color=_GREY, size=7, ha="right")
    _write(axes, 8.0, y + 5, measured(item.headline), right=True, color=_GREY, size=7)


def _offsets(count: int) -> list[float]:
    """Heights of the thin lines, in points: evenly below and above the headline."""
    half = (count + 1) // 2
    return [sign * 8.0 * step / max(half, 3) for step in range(1, half + 1) for sign in (1, -1)][:count]


def _interval(axes: Axes, bar: Bar, y: float, color: str, lw: float, alpha: float = 1.0) -> None:
    low, high = max(bar.low, -REACH), min(bar.high, REACH)
    if low < high:
        axes.plot((low, high), (y, y), color=color, lw=lw, alpha=alpha, solid_capstyle="round", zorder=3)
    for beyond, x, arrow in ((bar.low < -REACH, -REACH, "<"), (bar.high > REACH, REACH, ">")):
        if beyond:
            axes.plot(x, y, arrow, ms=4, color=color, alpha=alpha, clip_on=False, zorder=4)


def _write(axes: Axes, x: float, y: float, text: str, right: bool = False, **style: Any) -> None:
    """Write at x points from the left edge of the axes, or from its right edge."""
    looks: dict[str, Any] = {"color": _INK, "va": "center", "annotation_clip": False, **style}
    corner = (1.0 if right else 0.0, y)
    axes.annotate(text, corner, (x, 0), xycoords=("axes fraction", "data"), textcoords="offset points", **looks)


def _legend(axes: Axes) -> None:
    """Explain marks below the axis, and the words in the right column above it."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handles: list[Any] = [
        Line2D([], [], marker=shape, color=color, mec="white", label=_LABELS.get(verdict, verdict))
        for verdict, (shape, color) in _SHAPES.items()
    ]
    handles += [
        Line2D([], [], color=_INK, marker="|", lw=0, ms=9, label="no effect at all"),
        Patch(color=_BAND, label="within the margin"),
    ]
    axes.figure.legend(
        handles=handles,
        loc="lower center",
        ncols=len(handles),
        frameon=False,
        fontsize=7.5,
        borderaxespad=0.6,
        handlelength=1.6,
        columnspacing=1.5,
    )
    _write(axes, 8.0, -19.0, "verdict", right=True, color=_GREY, size=7)
    _write(axes, _WORDS - 8, -19.0, "claimed", right=True, color=_GREY, size=7, ha="right")
    _write(axes, 8.0, -9.0, "measured [interval]", right=True, color=_GREY, size=7)
