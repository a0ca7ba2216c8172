"""Images side by side, each with bars of its likeliest labels."""

import textwrap
from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure

from mmcontrast.data.io.decode import ImageSource, load

INK, FIRST, OTHER, TRACK = "#111827", "#7fb0ff", "#cfdcf3", "#eff2f7"


def draw_contact_sheet(
    images: Sequence[ImageSource],
    guesses: Sequence[Sequence[tuple[str, float]]],
    file: Path,
    title: str = "",
    columns: int = 4,
) -> None:
    """Writes a PNG.

    Args:
        images: N images.
        guesses: for each, (label, probability in [0, 1]), best first.
    """
    columns = min(columns, len(images))
    rows = -(-len(images) // columns)
    bars = max(map(len, guesses))
    tile = 3.0 + 0.1 + 0.3 * bars
    figure = Figure(figsize=(3.2 * columns, (tile + 0.2) * rows + 0.5), dpi=100, facecolor="white")
    figure.set_layout_engine("constrained", w_pad=0.08, h_pad=0.05, wspace=0, hspace=0)
    if title:
        figure.suptitle(title, fontsize=15, fontweight="bold", color=INK)
    heights = [3.0, 0.3 * bars] * rows
    axes = figure.subplots(2 * rows, columns, squeeze=False, height_ratios=heights)
    for axis in axes.flat:
        axis.axis("off")
    for place, (image, best) in enumerate(zip(images, guesses, strict=True)):
        row, column = divmod(place, columns)
        axes[2 * row, column].imshow(load(image, 360).permute(1, 2, 0).numpy())
        _draw_bars(axes[2 * row + 1, column], best, bars)
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file)


def _draw_bars(axis, best: Sequence[tuple[str, float]], rows: int) -> None:
    places = range(len(best))
    axis.set(xlim=(0, 1), ylim=(rows - 0.4, -0.6))
    axis.barh(places, [1] * len(best), height=0.82, color=TRACK)
    axis.barh(places, [score for _, score in best], height=0.82, color=[FIRST, *[OTHER] * (len(best) - 1)])
    for place, (label, score) in enumerate(best):
        shown = textwrap.shorten(label, 26, placeholder="…") or label[:26]
        axis.text(0.02, place, shown, va="center", fontsize=11, color=INK, fontweight="normal" if place else "bold")
        axis.text(0.98, place, f"{score:.0%}", va="center", ha="right", fontsize=11, color=INK)
