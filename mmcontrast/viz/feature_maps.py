"""Features as images: maps beside their images, a t-SNE map of a folder, nearest neighbors."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch.nn.functional as F
from matplotlib import colormaps
from matplotlib.figure import Figure
from matplotlib.offsetbox import AnnotationBbox, OffsetImage
from PIL import Image
from torch import Tensor

from mmcontrast.data.io.decode import ImageSource, load

GAP = 4  # pixels between panels
TEXT_COLOR = "#111827"

ImageArray = npt.NDArray[np.uint8]


def beside(image: ImageArray, maps: Sequence[ImageArray], height: int = 320, columns: int = 7) -> ImageArray:
    """Arranges an image and maps of it in rows of panels of one size, on white.

    Args:
        image: (H, W, 3) uint8.
        maps: (h, w, 3) uint8 each; their cells stay square blocks.
        height: Height of a panel in pixels.
        columns: Largest number of panels in a row.

    Returns:
        (rows * height + gaps, ..., 3) uint8.
    """
    width = round(height * image.shape[1] / image.shape[0])
    size = (width, height)
    panels = [np.asarray(Image.fromarray(image).resize(size, Image.Resampling.LANCZOS))]
    panels += [np.asarray(Image.fromarray(part).resize(size, Image.Resampling.NEAREST)) for part in maps]
    rows = -(-len(panels) // columns)
    columns = min(columns, len(panels))
    sheet = np.full((rows * (height + GAP) - GAP, columns * (width + GAP) - GAP, 3), 255, np.uint8)
    for index, panel in enumerate(panels):
        top, left = (index // columns) * (height + GAP), (index % columns) * (width + GAP)
        sheet[top : top + height, left : left + width] = panel
    return sheet


def color_maps(maps: Tensor) -> list[ImageArray]:
    """Colors maps, each from its smallest to its largest value.

    Args:
        maps: (N, h, w).

    Returns:
        N images (h, w, 3) uint8.
    """
    low, high = maps.amin((1, 2), keepdim=True), maps.amax((1, 2), keepdim=True)
    scaled = (maps - low) / (high - low).clamp(min=1e-12)
    return [(255 * colormaps["inferno"](part.numpy())[..., :3]).round().astype(np.uint8) for part in scaled]


def stack(sheets: Sequence[ImageArray]) -> ImageArray:
    """Arranges images (H_i, W_i, 3) uint8 one below the other, on white."""
    width = max(sheet.shape[1] for sheet in sheets)
    padded = [np.pad(s, ((0, GAP), (0, width - s.shape[1]), (0, 0)), constant_values=255) for s in sheets]
    return np.concatenate(padded)[:-GAP]


def tsne(vectors: Tensor, seed: int = 0) -> npt.NDArray[np.float32]:
    """Computes t-SNE by cosine (van der Maaten and Hinton, 2008), with perplexity 30 or a third of the vectors.

    Args:
        vectors: Features (N, D).
        seed: Seed of the optimization.

    Returns:
        Positions (N, 2).
    """
    from sklearn.manifold import TSNE

    normalized = F.normalize(vectors, dim=1).numpy()
    perplexity = min(30.0, (len(normalized) - 1) / 3)
    init = "pca" if min(normalized.shape) >= 2 else "random"
    model = TSNE(metric="cosine", init=init, perplexity=perplexity, random_state=seed)
    return np.asarray(model.fit_transform(normalized), np.float32)


def draw_map(
    files: Sequence[Path], positions: np.ndarray, groups: Sequence[str], file: Path, num_thumbnails: int = 300
) -> None:
    """Writes a PNG of images as thumbnails at their positions, framed in the color of their group.

    Args:
        files: N images.
        positions: (N, 2).
        groups: The group of each image, such as its folder.
        file: The file to write.
        num_thumbnails: Largest number of thumbnails, evenly spread over the list; the other images are dots.
    """
    names = sorted(set(groups))
    colors = {name: colormaps["tab20" if len(names) > 10 else "tab10"](i % 20) for i, name in enumerate(names)}
    figure = Figure(figsize=(12, 12), dpi=100, layout="constrained")
    axes = figure.add_subplot()
    for name in names:
        members = positions[[group == name for group in groups]]
        axes.scatter(members[:, 0], members[:, 1], s=14, color=colors[name], label=f"{name} ({len(members)})")
    side = int(min(96, max(28, 500 / len(files) ** 0.5)))
    for index in np.unique(np.linspace(0, len(files) - 1, min(num_thumbnails, len(files))).round().astype(int)):
        thumbnail = OffsetImage(load(files[index], side).permute(1, 2, 0).numpy(), zoom=0.72)
        frame = {"edgecolor": colors[groups[index]], "linewidth": 1.5}
        axes.add_artist(AnnotationBbox(thumbnail, tuple(positions[index]), pad=0.1, bboxprops=frame))
    if 1 < len(names) <= 20:
        axes.legend(fontsize=10, loc="upper left", bbox_to_anchor=(1, 1))
    axes.set(title=f"t-SNE of {len(files)} images", xticks=[], yticks=[])
    axes.margins(0.06)
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file)


def draw_neighbors(rows: Sequence[Sequence[tuple[ImageSource, str]]], file: Path) -> None:
    """Writes a PNG with a query and its nearest neighbors in each row, the nearest first.

    Args:
        rows: For each query, images with captions: its own first, then those of its neighbors.
        file: The file to write.
    """
    columns = max(map(len, rows))
    figure = Figure(figsize=(1.7 * columns, 2.0 * len(rows)), dpi=100, layout="constrained")
    axes = figure.subplots(len(rows), columns, squeeze=False)
    for axis in axes.flat:
        axis.axis("off")
    for axes_row, row in zip(axes, rows, strict=True):
        for column, (axis, (image, caption)) in enumerate(zip(axes_row, row, strict=False)):
            axis.imshow(load(image, 200).permute(1, 2, 0).numpy())
            axis.set_title(caption, fontsize=9, color=TEXT_COLOR, fontweight="normal" if column else "bold")
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file)
