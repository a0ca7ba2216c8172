"""How near predicted colors are: the area under the curve of Zhang, Isola and Efros (1603.08511, section 3.1)."""

from itertools import chain
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

from mmcontrast.data.datasets.images import Images
from mmcontrast.data.sampler import SampleKey
from mmcontrast.errors import InputError
from mmcontrast.inference.extract import evaluating
from mmcontrast.inference.image_batches import read_ahead, to_float
from mmcontrast.methods.colorization import Colorization
from mmcontrast.methods.split_brain import SplitBrain
from mmcontrast.ops.color import rgb_to_lab
from mmcontrast.ops.color_bins import ColorBins

FARTHEST = 150  # units of ab, where the curve ends


def colorization(
    method: Colorization | SplitBrain,
    data: str | Path | Images,
    temperature: float | None = None,
    batch_size: int = 32,
    progress: bool = False,
) -> dict[str, Any]:
    """Colors of photographs from their lightness, beside leaving them gray.

    The curve is the share of pixels whose predicted ab is within t of the photograph's, for t from 0 to 150.  Most
    pixels are nearly gray, which favors pale colors; in the balanced figure each bin of true colors counts alike.
    Pixels are cells of the predicted map.  The method is left in the mode it was in.

    Args:
        data: photographs, or a data set of them; without one, squares of the encoder's size.
        temperature: of the annealed mean; None: the method's.
        progress: show a bar on a terminal's stderr.
    Returns:
        ``auc``, ``auc_balanced`` in [0, 1], ``error`` the mean distance in ab, ``chroma`` the mean distance from gray,
        of the model; the same below ``gray``; ``chroma_photographs``, ``n``, ``unreadable``.
    Raises:
        InputError: no image can be read.
    """
    images = data if isinstance(data, Images) else Images(data, method.encoder.image_size)
    device = next(chain(method.parameters(), method.buffers())).device
    bins = ColorBins().to(device)
    tallies = {name: Tally(len(bins.centers), device) for name in ("model", "gray")}
    unreadable = 0
    bar = tqdm(total=len(images), unit="image", disable=None if progress else True, leave=False)
    with bar, evaluating(method):
        for batch, errors in read_ahead(lambda place: images.pixels(SampleKey(place)), range(len(images)), batch_size):
            bar.update(len(errors))
            unreadable += len(errors) - len(batch)
            if not len(batch):
                continue
            image = to_float(batch, device)  # (B, 3, S, S)
            found = method.colors(image, temperature)  # (B, 2, h, w)
            truth = F.adaptive_avg_pool2d(rgb_to_lab(image)[:, 1:], (found.shape[2], found.shape[3]))
            kind = bins.encode(truth)[0][:, 0]  # (B, h, w), the nearest bin
            tallies["model"].add(found, truth, kind)
            tallies["gray"].add(torch.zeros_like(truth), truth, kind)
    if unreadable == len(images):
        raise InputError(f"none of the {len(images)} images can be read")
    gray = tallies["gray"].figures()
    return {
        **tallies["model"].figures(),
        "gray": gray,
        "chroma_photographs": gray["error"],
        "n": len(images) - unreadable,
        "unreadable": unreadable,
    }


class Tally:
    """Counts of cells by true bin and by distance, rounded up; its size does not grow with the images."""

    def __init__(self, bins: int, device: torch.device) -> None:
        self.counts = torch.zeros(bins, FARTHEST + 2, dtype=torch.float64, device=device)
        self.distance = torch.zeros((), dtype=torch.float64, device=device)
        self.chroma = torch.zeros((), dtype=torch.float64, device=device)

    def add(self, found: Tensor, truth: Tensor, kind: Tensor) -> None:
        """Counts (B, 2, h, w) predicted and true ab, with (B, h, w) bins of the true ones."""
        distance = (found - truth).square().sum(1).sqrt()  # (B, h, w)
        column = distance.ceil().clamp(max=FARTHEST + 1).long()
        place = (kind * (FARTHEST + 2) + column).flatten()
        self.counts.view(-1).index_add_(0, place, torch.ones_like(place, dtype=torch.float64))
        self.distance += distance.sum()
        self.chroma += found.square().sum(1).sqrt().sum()

    def figures(self) -> dict[str, float]:
        """The areas under the curves, and mean distances."""
        counts = self.counts[self.counts.sum(1) > 0]  # bins that occur
        cells = counts.sum()
        within = counts.cumsum(1)[:, :-1]  # (Q', 151) cells of a bin within 0, 1, ..., 150
        return {
            "auc": float(within.sum(0).mean() / cells),
            "auc_balanced": float((within / counts.sum(1, keepdim=True)).mean()),
            "error": float(self.distance / cells),
            "chroma": float(self.chroma / cells),
        }
