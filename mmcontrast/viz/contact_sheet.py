"""Images side by side, each with bars of its most likely labels."""

import textwrap
from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mmcontrast.data.io.decode import ImageSource, load

TEXT_COLOR, BEST_COLOR, OTHER_COLOR, BACKGROUND_COLOR = "#111827", "#7fb0ff", "#cfdcf3", "#eff2f7"


def draw_contact_sheet(
    images: Sequence[ImageSource],
    predictions: Sequence[Sequence[tuple[str, float]]],
    file: Path,
    title: str = "",
    columns: int = 4,
) -> None:
    """Writes a PNG of images with their most likely labels.

    Args:
        images: N images.
        predictions: For each image its labels with their probabilities in [0, 1], the best first.
        file: The file to write.
        title: Title of the sheet.
        columns: Largest number of images in a row.
    """
    columns = min(columns, len(images))
    rows = -(-len(images) // columns)
    num_bars = max(map(len, predictions))
    tile = 3.0 + 0.1 + 0.3 * num_bars
    figure = Figure(figsize=(3.2 * columns, (tile + 0.2) * rows + 0.5), dpi=100, facecolor="white")
    figure.set_layout_engine("constrained", w_pad=0.08, h_pad=0.05, wspace=0, hspace=0)
    if title:
        figure.suptitle(title, fontsize=15, fontweight="bold", color=TEXT_COLOR)
    heights = [3.0, 0.3 * num_bars] * rows
    axes = figure.subplots(2 * rows, columns, squeeze=False, height_ratios=heights)
    for axis in axes.flat:
        axis.axis("off")
    for index, (image, labels) in enumerate(zip(images, predictions, strict=True)):
        row, column = divmod(index, columns)
        axes[2 * row, column].imshow(load(image, 360).permute(1, 2, 0).numpy())
        _draw_bars(axes[2 * row + 1, column], labels, num_bars)
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file)


def _draw_bars(axes: Axes, labels: Sequence[tuple[str, float]], rows: int) -> None:
    """Draws one bar per label with its name and probability."""
    y = range(len(labels))
    axes.set(xlim=(0, 1), ylim=(rows - 0.4, -0.6))
    axes.barh(y, [1] * len(labels), height=0.82, color=BACKGROUND_COLOR)
    colors = [BEST_COLOR, *[OTHER_COLOR] * (len(labels) - 1)]
    axes.barh(y, [score for _, score in labels], height=0.82, color=colors)
    for row, (label, score) in enumerate(labels):
        text = textwrap.shorten(label, 26, placeholder="…") or label[:26]
        weight = "normal" if row else "bold"
        axes.text(0.02, row, text, va="center", fontsize=11, color=TEXT_COLOR, fontweight=weight)
        axes.text(0.98, row, f"{score:.0%}", va="center", ha="right", fontsize=11, color=TEXT_COLOR)
