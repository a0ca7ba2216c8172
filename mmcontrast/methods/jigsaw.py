"""Jigsaw: put the shuffled pieces of an image back in order.

Noroozi, Favaro, ECCV 2016, https://arxiv.org/abs/1603.09246.
"""

from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from mmcontrast.encoders.base import Encoder
from mmcontrast.encoders.heads import mlp
from mmcontrast.errors import InputError
from mmcontrast.methods.base import Method
from mmcontrast.ops.color import luma
from mmcontrast.ops.patches import cut, framed, patchify, standardize, unpatchify
from mmcontrast.ops.permutations import distant_permutations
from mmcontrast.ops.random import uniform


class Jigsaw(Method):
    """Tells by which permutation of a set the pieces of an image were shuffled.

    Batch: ``image`` (B, 3, H, W) float in [0, 1]; ``sample_key`` (B,) int64, the key of the puzzle.

    Shortcuts are closed as in the paper: pieces lie at random positions in their cells, so that no edge continues; each
    is brought to mean 0 and deviation 1; channels are shifted against each other and some images lose their color, so
    that the chromatic aberration of the lens tells nothing.  The encoder sees each piece alone, and the head combines
    them ("context-free").

    Args:
        encoder: The network, applied to single pieces.
        permutations: Size of the set; any two of up to 72 differ in 8 of 9 pieces, of up to 504 in 7, of up to 1,512
            in 6.  The paper has 24 to 1,000.
        patch: Side of a piece in pixels; None: 3/4 of its cell (64 of 85 in the paper).
        grid: Number of cells along a side, 2 or 3.
        gray: Fraction of images without color.
        channel_shift: Largest number of pixels by which channels are shifted against each other.
        hidden: Width of the layer that combines all pieces; 4096 in the paper.

    Raises:
        InputError: An option is out of range.
    """

    permutations: Tensor
    random_stream = 2012
    batch_entries: ClassVar[dict[str, str]] = {
        "image": "data.train to a dataset of images, such as Images",
        "sample_key": "data.train to a dataset with keys, such as Images",
    }

    def __init__(
        self,
        encoder: Encoder,
        permutations: int = 1000,
        patch: int | None = None,
        grid: int = 3,
        gray: float = 0.3,
        channel_shift: int = 2,
        hidden: int = 4096,
    ) -> None:
        super().__init__()
        if grid not in (2, 3) or channel_shift < 0 or not 0 <= gray <= 1:
            raise InputError(
                f"grid {grid}, channel_shift {channel_shift}, gray {gray}: wanted 2 or 3 cells, pixels of 0 or more, "
                "and a fraction in [0, 1]"
            )
        self.encoder, self.patch, self.grid = encoder, patch, grid
        self.gray, self.channel_shift = gray, channel_shift
        self.register_buffer("permutations", distant_permutations(grid**2, permutations))  # (K, N)
        self.head = mlp(grid**2 * encoder.dim, hidden, permutations, norm=True)

    def forward(self, batch: dict[str, Any]) -> dict[str, Tensor]:
        """Computes the cross-entropy of the K permutations, and logs the accuracy; chance is 1 / K."""
        pieces, index = self.puzzles(batch["image"], batch["sample_key"])
        logits = self._solve(pieces)
        return {"loss": F.cross_entropy(logits, index), "accuracy": (logits.argmax(1) == index).float().mean()}

    def puzzles(self, image: Tensor, sample_key: Tensor) -> tuple[Tensor, Tensor]:
        """Cuts images into shuffled pieces.

        Args:
            image: (B, 3, H, W) in [0, 1].
            sample_key: (B,) int64, the keys of the random draws.

        Returns:
            (B, N, 3, P, P) pieces as the encoder gets them, and (B,) int64, the index of the permutation.
        """
        numbers = uniform(sample_key, 2 * self.grid**2 + 8, self.random_stream)
        index = (numbers[:, 0] * len(self.permutations)).long()
        pieces = standardize(self._pieces(image, numbers[:, 1:]))
        return _shuffled(pieces, self.permutations[index]) * self.encoder.std + self.encoder.mean, index

    @torch.no_grad()
    def images(self, image: Tensor, sample_key: Tensor) -> dict[str, Tensor]:
        """Returns shuffled cells, and the same put back as predicted, in a green frame where that is right."""
        puzzle, index = self.puzzles(image, sample_key)
        predicted = self._solve(puzzle).argmax(1)
        cell = min(image.shape[2:]) // self.grid
        side = cell * self.grid
        shuffled = _shuffled(patchify(image[:, :, :side, :side], cell), self.permutations[index])
        solved = _shuffled(shuffled, self.permutations[predicted].argsort(1))
        shuffled, solved = (unpatchify(cells, cell, side, side) for cells in (shuffled, solved))
        return {"shuffled": shuffled, "solved": framed(solved, predicted == index)}

    def _solve(self, pieces: Tensor) -> Tensor:
        """Returns the (B, K) logits of puzzles (B, N, 3, P, P)."""
        features = self.encoder(pieces.flatten(0, 1))  # (B N, D)
        logits: Tensor = self.head(features.unflatten(0, pieces.shape[:2]).flatten(1))
        return logits

    def _pieces(self, image: Tensor, numbers: Tensor) -> Tensor:
        """Returns (B, N, 3, P, P) pieces, row by row, cut by (B, 7 + 2 N) random numbers in [0, 1)."""
        shift, count = self.channel_shift, self.grid**2
        cell = [(side - 2 * shift) // self.grid for side in image.shape[2:]]
        patch = self.patch or 3 * min(cell) // 4
        if not 0 < patch <= min(cell):
            raise InputError(
                f"images of {image.shape[2]} x {image.shape[3]} pixels have cells of {cell[0]} x {cell[1]}, too "
                f"small for pieces of {patch or 1}; give larger images or a smaller patch"
            )
        gray, moves, jitter = numbers[:, 0] < self.gray, numbers[:, 1:7], numbers[:, 7:]
        image = torch.where(gray[:, None, None, None], luma(image), image)
        moves = ((2 * shift + 1) * moves).long() * ~gray[:, None] + shift * gray[:, None]  # (B, 6) in [0, 2 shift]
        starts = []
        for axis, number in enumerate(jitter.unflatten(1, (2, count)).unbind(1)):
            index = torch.arange(count, device=image.device).div(self.grid ** (1 - axis), rounding_mode="floor")
            starts.append(index % self.grid * cell[axis] + (number * (cell[axis] - patch + 1)).long())  # (B, N)
        top, left = starts
        channels = [
            cut(image[:, c : c + 1], top + moves[:, c : c + 1], left + moves[:, 3 + c : 4 + c], patch) for c in range(3)
        ]
        return torch.cat(channels, 2)


def _shuffled(pieces: Tensor, order: Tensor) -> Tensor:
    """Returns the pieces (B, N, ...) in the order (B, N)."""
    return pieces[torch.arange(len(pieces), device=pieces.device)[:, None], order]
