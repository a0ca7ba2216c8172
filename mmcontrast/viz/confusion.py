"""Draws a confusion matrix."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from torch import Tensor

NAMED = 60  # classes up to which the axes carry names
NUMBERED = 15  # classes up to which the cells carry numbers


def draw_confusion(counts: Tensor, names: Sequence[str], file: Path, title: str) -> None:
    """Writes a PNG of (C, C) counts, each row in percent of its class."""
    table = counts.double().numpy()
    rows = table.sum(1, keepdims=True)
    share = np.divide(100 * table, rows, out=np.zeros_like(table), where=rows > 0)
    classes = len(names)
    side = min(14.0, max(4.5, 2.6 + 0.32 * classes)) if classes <= NAMED else 10.0
    figure = Figure(figsize=(side + 0.8, side), dpi=120, layout="constrained")
    axes = figure.add_subplot()
    image = axes.imshow(share, vmin=0, vmax=100, cmap="Blues", interpolation="nearest")
    axes.set(title=title, xlabel="predicted", ylabel="true")
    if classes <= NAMED:
        short = [name if len(name) <= 24 else name[:23] + "…" for name in names]
        size = 9 if classes <= 30 else 7
        axes.set_xticks(range(classes), short, rotation=45 if classes <= 30 else 90, fontsize=size)
        axes.set_yticks(range(classes), short, fontsize=size)
        if classes <= 30:
            for label in axes.get_xticklabels():
                label.set(ha="right", rotation_mode="anchor")
    if classes <= NUMBERED:
        for row, column in np.argwhere(share >= 0.5):
            color = "white" if share[row, column] > 55 else "black"
            axes.text(column, row, f"{share[row, column]:.0f}", ha="center", va="center", color=color, fontsize=8)
    figure.colorbar(image, label="% of the true class", fraction=0.045, pad=0.02)
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, bbox_inches="tight")
