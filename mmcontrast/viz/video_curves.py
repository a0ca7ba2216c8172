"""Scores along each video, as a plot."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure


def draw_video_curves(
    videos: Mapping[str, Mapping[str, npt.NDArray[np.float64]]], file: Path, columns: int = 4
) -> None:
    """Writes a PNG with one panel per video: the mean of each score over the objects, frame by frame.

    Args:
        videos: For each video the scores by name, such as "J" and "F", each (objects, frames) in [0, 1].
        file: The file to write.
        columns: Largest number of panels in a row.
    """
    columns = min(columns, len(videos))
    rows = -(-len(videos) // columns)
    figure = Figure(figsize=(3.4 * columns, 2.3 * rows + 0.4), dpi=110, layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False, sharey=True).flat
    for panel, (video, scores) in zip(panels, videos.items(), strict=False):
        for name, values in scores.items():
            mean = values.mean(0)
            panel.plot(np.arange(1, len(mean) + 1), mean, label=f"{name} {values.mean():.3f}")
        panel.set(title=video, ylim=(0, 1), xlabel="frame")
        panel.grid(alpha=0.3)
        panel.legend(loc="lower left", fontsize=8)
    for panel in list(figure.axes)[len(videos) :]:
        panel.set_axis_off()
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file)
