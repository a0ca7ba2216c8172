"""J and F along each video, as an image."""

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import numpy as np
from matplotlib.figure import Figure


class Scores(Protocol):
    """Scores of one video: J and F, each (objects, frames) in [0, 1]."""

    J: np.ndarray
    F: np.ndarray


def draw_curves(videos: Mapping[str, Scores], file: Path, columns: int = 4) -> None:
    """Writes a PNG: one panel a video, its objects' mean J and F over the scored frames."""
    columns = min(columns, len(videos))
    rows = -(-len(videos) // columns)
    figure = Figure(figsize=(3.4 * columns, 2.3 * rows + 0.4), dpi=110, layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False, sharey=True).flat
    for panel, (name, scores) in zip(panels, videos.items(), strict=False):
        for label, values, color in (("J", scores.J, "tab:blue"), ("F", scores.F, "tab:orange")):
            mean = values.mean(0)
            panel.plot(np.arange(1, len(mean) + 1), mean, color=color, label=f"{label} {values.mean():.3f}")
        panel.set(title=name, ylim=(0, 1), xlabel="frame")
        panel.grid(alpha=0.3)
        panel.legend(loc="lower left", fontsize=8)
    for panel in list(figure.axes)[len(videos) :]:
        panel.set_axis_off()
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file)
