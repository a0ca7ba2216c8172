"""Cumulative distributions of errors."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure


def draw_error_curves(panels: Mapping[str, Mapping[str, Sequence[float]]], file: Path, limit: float = 80) -> None:
    """Writes a PNG of the fraction of points whose error is at most r pixels, with one line per model.

    Args:
        panels: For each panel by title, for each model by name, the errors in pixels at 0, 1, ..., 100 % of the points.
        file: The file to write.
        limit: The largest error on the axis in pixels.
    """
    figure = Figure(figsize=(3.6 * len(panels), 3.2), dpi=110, layout="constrained")
    axes_row = figure.subplots(1, len(panels), squeeze=False, sharey=True)[0]
    for axes, (title, curves) in zip(axes_row, panels.items(), strict=True):
        for name, percentiles in curves.items():
            axes.plot(percentiles, np.arange(101), label=name)
        axes.set(title=title, xlabel="pixel error", xlim=(0, limit), ylim=(0, 100))
        axes.grid(alpha=0.3)
    figure.axes[0].set_ylabel("% of points with at most this error")
    figure.axes[-1].legend(loc="lower right", fontsize=8)
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file)
