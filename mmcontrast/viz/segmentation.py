"""Class maps beside their images."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from mmcontrast.data.io.masks import palette

MAX_LEGEND = 30  # up to so many classes there is a legend


def draw_segments(
    rows: Sequence[tuple[np.ndarray, Sequence[np.ndarray]]],
    class_names: Sequence[str],
    file: Path,
    titles: Sequence[str],
) -> None:
    """Writes a PNG with an image and its class maps in each row, and a legend.

    Args:
        rows: Images (H, W, 3) uint8, each with class maps (H, W), -1 for pixels that are not counted.
        class_names: Names of the classes.
        file: The file to write.
        titles: Titles of the class maps.
    """
    colors = np.concatenate([palette()[1:], [[255, 255, 255]]])  # the last one, for -1, is white
    columns = 1 + len(titles)
    figure = Figure(figsize=(3.2 * columns, 2.5 * len(rows) + 0.6), dpi=100, layout="constrained")
    axes = figure.subplots(len(rows), columns, squeeze=False)
    for axes_row, (image, maps) in zip(axes, rows, strict=True):
        panels = [image, *(colors[class_map].astype(np.uint8) for class_map in maps)]
        for axis, panel in zip(axes_row, panels, strict=True):
            axis.imshow(panel, interpolation="nearest")
            axis.axis("off")
    for axis, title in zip(axes[0], ("image", *titles), strict=True):
        axis.set_title(title, fontsize=10)
    handles = [Patch(facecolor=colors[i] / 255, edgecolor="#888888", label=name) for i, name in enumerate(class_names)]
    if len(handles) <= MAX_LEGEND:
        figure.legend(handles=handles, loc="outside lower center", ncols=min(8, len(handles)), fontsize=8)
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file)
