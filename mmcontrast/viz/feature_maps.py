"""Images of features: patch colors, attention maps, a map of a folder, nearest neighbors."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch.nn.functional as F
from matplotlib import colormaps
from matplotlib.figure import Figure
from matplotlib.offsetbox import AnnotationBbox, OffsetImage
from PIL import Image
from torch import Tensor

from mmcontrast.data.io.decode import ImageSource, load

GAP = 4  # pixels between panels
INK = "#111827"


def beside(photo: np.ndarray, maps: Sequence[np.ndarray], height: int = 320, columns: int = 7) -> np.ndarray:
    """A photograph and maps of it, all brought to one height, in rows of panels on white.

    Args:
        photo: (H, W, 3) uint8.
        maps: (h, w, 3) uint8 each; their cells stay square blocks.
        height: of a panel in pixels.
        columns: panels in a row at most.
    Returns:
        (rows * height + gaps, ..., 3) uint8.
    """
    width = round(height * photo.shape[1] / photo.shape[0])
    size = (width, height)
    panels = [np.asarray(Image.fromarray(photo).resize(size, Image.Resampling.LANCZOS))]
    panels += [np.asarray(Image.fromarray(part).resize(size, Image.Resampling.NEAREST)) for part in maps]
    rows = -(-len(panels) // columns)
    across = min(columns, len(panels))
    sheet = np.full((rows * (height + GAP) - GAP, across * (width + GAP) - GAP, 3), 255, np.uint8)
    for place, panel in enumerate(panels):
        top, left = (place // columns) * (height + GAP), (place % columns) * (width + GAP)
        sheet[top : top + height, left : left + width] = panel
    return sheet


def color_maps(maps: Tensor) -> list[np.ndarray]:
    """(N, h, w) -> N of (h, w, 3) uint8, each from its own smallest to largest."""
    low, high = maps.amin((1, 2), keepdim=True), maps.amax((1, 2), keepdim=True)
    scaled = (maps - low) / (high - low).clamp(min=1e-12)
    return [(255 * colormaps["inferno"](part.numpy())[..., :3]).round().astype(np.uint8) for part in scaled]


def stack(sheets: Sequence[np.ndarray]) -> np.ndarray:
    """(H_i, W_i, 3) uint8 images -> one below the other, on white."""
    width = max(sheet.shape[1] for sheet in sheets)
    padded = [np.pad(s, ((0, GAP), (0, width - s.shape[1]), (0, 0)), constant_values=255) for s in sheets]
    return np.concatenate(padded)[:-GAP]


def tsne(vectors: Tensor, seed: int = 0) -> np.ndarray:
    """(N, D) -> (N, 2), t-SNE by cosine (van der Maaten and Hinton, 2008), perplexity 30 or a third of the images."""
    from sklearn.manifold import TSNE

    unit = F.normalize(vectors, dim=1).numpy()
    perplexity = min(30.0, (len(unit) - 1) / 3)
    start = "pca" if min(unit.shape) >= 2 else "random"
    return TSNE(metric="cosine", init=start, perplexity=perplexity, random_state=seed).fit_transform(unit)


def draw_map(files: Sequence[Path], places: np.ndarray, groups: Sequence[str], file: Path, shown: int = 300) -> None:
    """Writes a PNG: images as thumbnails at their places, framed by the color of their group.

    Args:
        files: N images.
        places: (N, 2).
        groups: what each belongs to, such as its folder.
        file: where to write.
        shown: thumbnails at most, evenly spread over the list; the rest are dots.
    """
    names = sorted(set(groups))
    colors = {name: colormaps["tab20" if len(names) > 10 else "tab10"](i % 20) for i, name in enumerate(names)}
    figure = Figure(figsize=(12, 12), dpi=100, layout="constrained")
    axes = figure.add_subplot()
    for name in names:
        chosen = places[[group == name for group in groups]]
        label = f"{name} ({len(chosen)})"
        axes.scatter(chosen[:, 0], chosen[:, 1], s=14, color=colors[name], label=label)
    side = int(min(96, max(28, 500 / len(files) ** 0.5)))
    for place in np.unique(np.linspace(0, len(files) - 1, min(shown, len(files))).round().astype(int)):
        thumbnail = OffsetImage(load(files[place], side).permute(1, 2, 0).numpy(), zoom=0.72)
        frame = {"edgecolor": colors[groups[place]], "linewidth": 1.5}
        axes.add_artist(AnnotationBbox(thumbnail, tuple(places[place]), pad=0.1, bboxprops=frame))
    if 1 < len(names) <= 20:
        axes.legend(fontsize=10, loc="upper left", bbox_to_anchor=(1, 1))
    axes.set(title=f"t-SNE of {len(files)} images", xticks=[], yticks=[])
    axes.margins(0.06)
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file)


def draw_neighbors(rows: Sequence[Sequence[tuple[ImageSource, str]]], file: Path) -> None:
    """Writes a PNG: in each row a query and its neighbors, best first.

    Args:
        rows: for each query, (image, caption) of itself and of its neighbors.
        file: where to write.
    """
    columns = max(map(len, rows))
    figure = Figure(figsize=(1.7 * columns, 2.0 * len(rows)), dpi=100, layout="constrained")
    axes = figure.subplots(len(rows), columns, squeeze=False)
    for axis in axes.flat:
        axis.axis("off")
    for line, row in zip(axes, rows, strict=True):
        for place, (axis, (image, caption)) in enumerate(zip(line, row, strict=False)):
            axis.imshow(load(image, 200).permute(1, 2, 0).numpy())
            axis.set_title(caption, fontsize=9, color=INK, fontweight="normal" if place else "bold")
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file)
