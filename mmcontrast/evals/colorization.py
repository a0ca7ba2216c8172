"""How close predicted colors are to the true ones: the area under the curve of Zhang, Isola and Efros.

https://arxiv.org/abs/1603.08511, section 3.1
"""

from itertools import chain
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

from mmcontrast.data.datasets.images import Images
from mmcontrast.data.sampler import SampleKey
from mmcontrast.errors import InputError
from mmcontrast.evals.results import EvalResult
from mmcontrast.inference.extract import evaluating
from mmcontrast.inference.image_batches import read_ahead, to_float
from mmcontrast.methods.colorization import Colorization
from mmcontrast.methods.split_brain import SplitBrain
from mmcontrast.ops.color import rgb_to_lab
from mmcontrast.ops.color_bins import ColorBins

MAX_DISTANCE = 150  # the curve goes from 0 to this distance in units of ab


def colorization(
    method: Colorization | SplitBrain,
    data: str | Path | Images,
    temperature: float | None = None,
    batch_size: int = 32,
    limit: int | None = None,
    progress: bool = False,
) -> EvalResult:
    """Measures the colors that a method predicts from the lightness of photographs, beside those of gray images.

    The curve is the fraction of pixels whose predicted ab is within t of the true ab, for t from 0 to 150. Most pixels
    are nearly gray, which favors pale predictions; in the balanced figure each bin of true colors has the same weight.
    Pixels are cells of the predicted map. The method is left in the mode that it is in.

    Args:
        method: The method that predicts colors.
        data: Photographs, or a data set of them; photographs are cropped to squares of the encoder's size.
        temperature: Temperature of the annealed mean; None takes the method's.
        batch_size: Number of images that the method sees at once.
        limit: Largest number of images, a random choice that is always the same; None takes all.
        progress: Whether to draw a progress bar on stderr if it is a terminal.

    Returns:
        ``auc`` and ``auc_balanced`` in [0, 1], ``mean_distance`` to the true ab, ``mean_chroma`` (the mean distance of
        the prediction from gray); the same figures of a gray image under ``gray``; and ``true_mean_chroma``.

    Raises:
        InputError: No image can be read.
    """
    images = data if isinstance(data, Images) else Images(data, method.encoder.image_size)
    indices = torch.arange(len(images))
    if limit is not None:
        indices = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))[:limit].sort().values
    device = next(chain(method.parameters(), method.buffers())).device
    bins = ColorBins().to(device)
    model_distances, gray_distances = (ColorDistances(len(bins.centers), device) for _ in range(2))
    num_unreadable = 0
    bar = tqdm(total=len(indices), unit="image", disable=None if progress else True, leave=False)
    batches = read_ahead(lambda index: images.pixels(SampleKey(index)), indices.tolist(), batch_size)
    with bar, evaluating(method):
        for batch, errors in batches:
            bar.update(len(errors))
            num_unreadable += len(errors) - len(batch)
            if not len(batch):
                continue
            image = to_float(batch, device)  # (B, 3, S, S)
            predicted = method.colors(image, temperature)  # (B, 2, h, w)
            true = F.adaptive_avg_pool2d(rgb_to_lab(image)[:, 1:], (predicted.shape[2], predicted.shape[3]))
            true_bin = bins.encode(true)[0][:, 0]  # (B, h, w), the nearest bin
            model_distances.add(predicted, true, true_bin)
            gray_distances.add(torch.zeros_like(true), true, true_bin)
    if num_unreadable == len(indices):
        raise InputError(f"none of the {len(indices)} images can be read")
    gray = gray_distances.figures()
    return EvalResult(
        metrics={**model_distances.figures(), "gray": gray, "true_mean_chroma": gray["mean_distance"]},
        counts={"num_images": len(indices) - num_unreadable, "num_unreadable": num_unreadable},
        settings={"temperature": temperature},
    )


class ColorDistances:
    """Counts of cells by the bin of their true color and by distance, rounded up. Its size is constant.

    Args:
        num_bins: Number of bins of true colors.
        device: Where the counts are.
    """

    def __init__(self, num_bins: int, device: torch.device) -> None:
        self.counts = torch.zeros(num_bins, MAX_DISTANCE + 2, dtype=torch.float64, device=device)
        self.distance = torch.zeros((), dtype=torch.float64, device=device)
        self.chroma = torch.zeros((), dtype=torch.float64, device=device)

    def add(self, predicted: Tensor, true: Tensor, true_bin: Tensor) -> None:
        """Counts cells.

        Args:
            predicted: Predicted ab (B, 2, h, w).
            true: True ab (B, 2, h, w).
            true_bin: Bins of the true ab (B, h, w) int64.
        """
        distance = (predicted - true).square().sum(1).sqrt()  # (B, h, w)
        column = distance.ceil().clamp(max=MAX_DISTANCE + 1).long()
        cell = (true_bin * (MAX_DISTANCE + 2) + column).flatten()
        self.counts.view(-1).index_add_(0, cell, torch.ones_like(cell, dtype=torch.float64))
        self.distance += distance.sum()
        self.chroma += predicted.square().sum(1).sqrt().sum()

    def figures(self) -> dict[str, float]:
        """Returns the areas under the curves, the mean distance and the mean chroma."""
        counts = self.counts[self.counts.sum(1) > 0]  # bins that occur
        num_cells = counts.sum()
        within = counts.cumsum(1)[:, :-1]  # (Q', 151) cells of a bin within 0, 1, ..., 150
        return {
            "auc": float(within.sum(0).mean() / num_cells),
            "auc_balanced": float((within / counts.sum(1, keepdim=True)).mean()),
            "mean_distance": float(self.distance / num_cells),
            "mean_chroma": float(self.chroma / num_cells),
        }
