"""Accuracy as a function of one variable, as a plot."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

MAX_TICKS = 15  # up to so many values of x get a tick each
MAX_INNER_LEGEND = 6  # up to so many curves have their legend inside the axes


class Curve(NamedTuple):
    """One line of a plot.

    Attributes:
        label: Name in the legend.
        x: Values of the variable.
        accuracy: Accuracies in [0, 1], one for each x.
        deviation: Standard deviations of the accuracies; None draws no error bars.
    """

    label: str
    x: Sequence[float]
    accuracy: Sequence[float]
    deviation: Sequence[float] | None = None


def draw_curves(curves: Sequence[Curve], file: Path, xlabel: str, title: str, log: bool = True) -> None:
    """Writes a PNG of accuracies in percent.

    Args:
        curves: The lines.
        file: The file to write.
        xlabel: Name of the variable.
        title: Title of the plot.
        log: Whether the axis of the variable is logarithmic.
    """
    figure = Figure(figsize=(6, 4), dpi=120, layout="constrained")
    axes = figure.add_subplot()
    if log:
        axes.set_xscale("log")
    for curve in curves:
        percent = [100 * value for value in curve.accuracy]
        deviation = [100 * value for value in curve.deviation] if curve.deviation else None
        axes.errorbar(curve.x, percent, deviation, marker="o", markersize=4, capsize=3, label=curve.label)
        if len(curves) == 1:
            _annotate(axes, curve.x, percent)
    axes.margins(y=0.15)
    ticks = sorted({x for curve in curves for x in curve.x})
    if len(ticks) <= MAX_TICKS:
        axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        axes.xaxis.set_minor_locator(NullLocator())
    axes.set(xlabel=xlabel, ylabel="accuracy, %", title=title)
    axes.grid(alpha=0.3)
    if len(curves) <= MAX_INNER_LEGEND:
        axes.legend(fontsize=8)
    else:
        figure.legend(fontsize=8, loc="outside right center")
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file)


def _annotate(axes: Axes, x_values: Sequence[float], percent: Sequence[float]) -> None:
    """Writes its value above each point."""
    for x, y in zip(x_values, percent, strict=True):
        axes.annotate(f"{y:.1f}", (x, y), xytext=(0, 6), textcoords="offset points", ha="center", fontsize=8)
