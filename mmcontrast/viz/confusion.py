"""Confusion matrices as plots."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

MAX_NAMED = 60  # up to so many classes the axes have names
MAX_SLANTED = 30  # up to so many classes the names are large and slanted
MAX_NUMBERED = 15  # up to so many classes the cells have numbers


def draw_confusion(counts: Tensor, class_names: Sequence[str], file: Path, title: str) -> None:
    """Writes a PNG of a confusion matrix, each row in percent of its true class.

    Args:
        counts: Counts (C, C); a row belongs to a true class, a column to a predicted class.
        class_names: The C names.
        file: The file to write.
        title: Title of the plot.
    """
    table = counts.double().numpy()
    row_sums = table.sum(1, keepdims=True)
    percent = np.divide(100 * table, row_sums, out=np.zeros_like(table), where=row_sums > 0)
    num_classes = len(class_names)
    side = min(14.0, max(4.5, 2.6 + 0.32 * num_classes)) if num_classes <= MAX_NAMED else 10.0
    figure = Figure(figsize=(side + 0.8, side), dpi=120, layout="constrained")
    axes = figure.add_subplot()
    image = axes.imshow(percent, vmin=0, vmax=100, cmap="Blues", interpolation="nearest")
    axes.set(title=title, xlabel="predicted", ylabel="true")
    if num_classes <= MAX_NAMED:
        _name_axes(axes, class_names)
    if num_classes <= MAX_NUMBERED:
        for row, column in np.argwhere(percent >= 0.5):
            color = "white" if percent[row, column] > 55 else "black"
            axes.text(column, row, f"{percent[row, column]:.0f}", ha="center", va="center", color=color, fontsize=8)
    figure.colorbar(image, label="% of the true class", fraction=0.045, pad=0.02)
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, bbox_inches="tight")


def _name_axes(axes: Axes, class_names: Sequence[str]) -> None:
    """Writes the names of the classes at both axes, shortened to 24 characters."""
    short = [name if len(name) <= 24 else name[:23] + "…" for name in class_names]
    slanted = len(class_names) <= MAX_SLANTED
    size = 9 if slanted else 7
    axes.set_xticks(range(len(short)), short, rotation=45 if slanted else 90, fontsize=size)
    axes.set_yticks(range(len(short)), short, fontsize=size)
    if slanted:
        for label in axes.get_xticklabels():
            label.set(ha="right", rotation_mode="anchor")
