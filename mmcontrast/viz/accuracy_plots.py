"""Accuracy over something, as an image."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator


class Curve(NamedTuple):
    """One line: accuracies in [0, 1] at the places ``x``, with their standard deviations where there are any."""

    label: str
    x: Sequence[float]
    accuracy: Sequence[float]
    deviation: Sequence[float] | None = None


def draw_curves(curves: Sequence[Curve], file: Path, xlabel: str, title: str, log: bool = True) -> None:
    """Writes a PNG; the places are ticks with their numbers, on a logarithmic axis if ``log``."""
    figure = Figure(figsize=(6, 4), dpi=120, layout="constrained")
    axes = figure.add_subplot()
    if log:
        axes.set_xscale("log")
    ticks = sorted({x for curve in curves for x in curve.x})
    for curve in curves:
        percent = [100 * value for value in curve.accuracy]
        deviation = [100 * value for value in curve.deviation] if curve.deviation else None
        axes.errorbar(curve.x, percent, deviation, marker="o", markersize=4, capsize=3, label=curve.label)
        if len(curves) == 1:
            for x, y in zip(curve.x, percent, strict=True):
                axes.annotate(f"{y:.1f}", (x, y), xytext=(0, 6), textcoords="offset points", ha="center", fontsize=8)
    axes.margins(y=0.15)
    if len(ticks) <= 15:
        axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        axes.xaxis.set_minor_locator(NullLocator())
    axes.set(xlabel=xlabel, ylabel="accuracy, %", title=title)
    axes.grid(alpha=0.3)
    if len(curves) <= 6:
        axes.legend(fontsize=8)
    else:
        figure.legend(fontsize=8, loc="outside right center")
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file)
