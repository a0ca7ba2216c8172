"""What a method makes of images, as one sheet: a column for each image, a row for each stage."""

from collections.abc import Mapping
from pathlib import Path

from matplotlib.figure import Figure
from torch import Tensor

TEXT_COLOR = "#111827"


def draw_images(stages: Mapping[str, Tensor], file: Path, columns: int = 8, side: float = 1.3) -> None:
    """Writes a PNG of images at several stages.

    Args:
        stages: Images (B, 3, h, w) in [0, 1] by title, in the order of the rows; see ``Method.images``.
        file: The file to write.
        columns: Largest number of images side by side; more of them follow below.
        side: Side of an image in inches.
    """
    num_images = len(next(iter(stages.values())))
    columns = min(columns, num_images)
    rows = -(-num_images // columns) * len(stages)
    figure = Figure(figsize=(side * columns + 0.4, side * rows), dpi=100, layout="constrained")
    figure.set_layout_engine("constrained", w_pad=0.02, h_pad=0.02, wspace=0, hspace=0)
    axes = figure.subplots(rows, columns, squeeze=False)
    for axis in axes.flat:
        axis.set(xticks=[], yticks=[])
        axis.spines[:].set_visible(False)
    for stage, (title, images) in enumerate(stages.items()):
        pixels = images.float().clamp(0, 1).permute(0, 2, 3, 1).cpu().numpy()  # (B, h, w, 3)
        for index, image in enumerate(pixels):
            group, column = divmod(index, columns)
            axes[group * len(stages) + stage, column].imshow(image, interpolation="nearest")
        for group in range(rows // len(stages)):
            axes[group * len(stages) + stage, 0].set_ylabel(title, fontsize=10, color=TEXT_COLOR)
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file)
