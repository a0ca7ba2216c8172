"""Segmentations beside their images."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from mmcontrast.data.io.masks import palette


def draw_segments(
    rows: Sequence[tuple[np.ndarray, Sequence[np.ndarray]]], names: Sequence[str], file: Path, titles: Sequence[str]
) -> None:
    """Writes a PNG: in each row an image and class maps of it, with a legend.

    Args:
        rows: (H, W, 3) uint8 images, each with (H, W) class numbers, -1 where they count nowhere.
        names: of the classes.
        file: where to write.
        titles: of the maps.
    """
    colors = np.concatenate([palette()[1:], [[255, 255, 255]]])  # -1 is white
    columns = 1 + len(titles)
    figure = Figure(figsize=(3.2 * columns, 2.5 * len(rows) + 0.6), dpi=100, layout="constrained")
    axes = figure.subplots(len(rows), columns, squeeze=False)
    for line, (image, maps) in zip(axes, rows, strict=True):
        for axis, panel in zip(line, [image, *(colors[part].astype(np.uint8) for part in maps)], strict=True):
            axis.imshow(panel, interpolation="nearest")
            axis.axis("off")
    for axis, title in zip(axes[0], ("image", *titles), strict=True):
        axis.set_title(title, fontsize=10)
    handles = [Patch(facecolor=colors[i] / 255, edgecolor="#888888", label=name) for i, name in enumerate(names)]
    if len(handles) <= 30:
        figure.legend(handles=handles, loc="outside lower center", ncols=min(8, len(handles)), fontsize=8)
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file)
