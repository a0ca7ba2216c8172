"""What needs no understanding does not solve the puzzles: a linear model on borders, colors or the lens' fringes."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from mmcontrast.encoders import TinyConv
from mmcontrast.evals.logistic import accuracy, fit_scaled
from mmcontrast.methods import Jigsaw, RelativePatch
from tests.methods.photographs import JUDGE, LEARN, crops

POSITIONS, PUZZLES = 8, 24
GUARDED, OPEN = {"patch": 14, "gap": 6, "jitter": 2}, {"patch": 14, "gap": 0, "jitter": 0, "color": "keep"}


@pytest.fixture(scope="module")
def photos() -> tuple[Tensor, Tensor]:
    """To learn from, and others to judge by: (N, 3, 64, 64) in [0, 1]."""
    return crops(LEARN, 500).float() / 255, crops(JUDGE, 400).float() / 255


def pairs(photos: tuple[Tensor, Tensor], **options: Any) -> list[tuple[Tensor, Tensor]]:
    method = RelativePatch(TinyConv(dim=8), **options)
    return [method.pairs(image, torch.arange(len(image)) + 10**6 * i) for i, image in enumerate(photos)]


def puzzles(photos: tuple[Tensor, Tensor], **options: Any) -> list[tuple[Tensor, Tensor]]:
    method = Jigsaw(TinyConv(dim=8), permutations=PUZZLES, hidden=16, **options)
    return [method.puzzles(image, torch.arange(len(image)) + 10**6 * i) for i, image in enumerate(photos)]


def linear(seen: list[tuple[Tensor, Tensor]], features, classes: int) -> float:
    """Accuracy of logistic regression, on photographs that it has not seen."""
    (x, y), (z, target) = ((features(pieces), labels) for pieces, labels in seen)
    return accuracy(fit_scaled(x, y, classes, 0.1)(z), target)


def borders(pieces: Tensor) -> Tensor:
    """(B, N, C, P, P) -> pixels of borders, and for every two pieces how unlike their facing ones are."""
    left, right = pieces[..., 0].flatten(2), pieces[..., -1].flatten(2)  # (B, N, C P)
    above, below = pieces[..., 0, :].flatten(2), pieces[..., -1, :].flatten(2)
    unlike = [torch.cdist(a, b, p=1) for a, b in ((right, left), (below, above))]  # (B, N, N) each
    return torch.cat([part.flatten(1) for part in (*unlike, left, right)], 1)


def colors(pieces: Tensor) -> Tensor:
    """(B, N, C, P, P) -> means and deviations of all channels."""
    return torch.cat([pieces.mean((3, 4)).flatten(1), pieces.std((3, 4)).flatten(1)], 1)


def fringes(pieces: Tensor) -> Tensor:
    """(B, N, C, P, P) -> where green lies against red, to first order: (B, 2 N)."""
    apart = pieces[:, :, 1] - pieces[:, :, 0]
    slopes = torch.gradient(pieces[:, :, 1], dim=(2, 3))
    return torch.cat([(apart * slope).mean((2, 3)) for slope in slopes], 1)


def lens(photo: Tensor) -> Tensor:
    """Green a little larger than red and blue, as seen through a cheap lens."""
    matrix = torch.tensor([[0.96, 0.0, 0.0], [0.0, 0.96, 0.0]]).expand(len(photo), 2, 3)
    grid = F.affine_grid(matrix, [len(photo), 1, *photo.shape[2:]], align_corners=False)
    green = F.grid_sample(photo[:, 1:2], grid, padding_mode="border", align_corners=False)
    return torch.cat([photo[:, :1], green, photo[:, 2:]], 1)


def test_borders_tell_little_of_where_a_patch_belongs(photos):
    assert linear(pairs(photos, **GUARDED), borders, POSITIONS) < 1.4 / POSITIONS
    assert linear(pairs(photos, **OPEN), borders, POSITIONS) > 1.5 / POSITIONS


def test_colors_tell_little_of_where_a_patch_belongs(photos):
    assert linear(pairs(photos, **GUARDED), colors, POSITIONS) < 1.4 / POSITIONS


@pytest.mark.parametrize("color", ["drop", "project"])
def test_the_lens_gives_nothing_away(photos, color):
    blurred = tuple(map(lens, photos))
    assert linear(pairs(blurred, **GUARDED, color=color), fringes, POSITIONS) < 1.4 / POSITIONS
    assert linear(pairs(blurred, **GUARDED, color="keep"), fringes, POSITIONS) > 2 / POSITIONS


def test_borders_and_colors_tell_little_of_how_pieces_were_shuffled(photos):
    guarded = puzzles(photos, channel_shift=1)
    assert linear(guarded, borders, PUZZLES) < 2.2 / PUZZLES
    assert linear(guarded, colors, PUZZLES) < 2.2 / PUZZLES
    assert linear(puzzles(photos, patch=21, channel_shift=0, gray=0.0), borders, PUZZLES) > 4 / PUZZLES
