"""Relative patch: tell on which side of a patch another patch lies.

Doersch, Gupta, Efros, ICCV 2015, https://arxiv.org/abs/1505.05192.
"""

from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from mmcontrast.encoders.base import Encoder
from mmcontrast.encoders.heads import mlp
from mmcontrast.errors import InputError
from mmcontrast.methods.base import Method
from mmcontrast.ops.patches import cut, framed, paste, standardize
from mmcontrast.ops.random import uniform

Color = Literal["drop", "project", "keep"]
NEIGHBORS = 8


class RelativePatch(Method):
    """Tells which of the eight neighbors of a patch another patch is.

    Batch: ``image`` (B, 3, H, W) float in [0, 1], at least three patches with their gaps a side; ``sample_key`` (B,)
    int64, the key of the patches.

    Two shortcuts are closed as in the paper: a gap and jitter between the patches interrupt the lines that cross their
    borders; ``color`` removes the chromatic aberration of the lens, which grows with the distance from the center.

    Deviations: patches are also brought to equal contrast; dropped channels are flat instead of faint noise; blurring
    some of the patches is left to the data's augmentation.

    Args:
        encoder: The network, applied to single patches.
        patch: Side of a patch in pixels; 96 in the paper, for images of about 400.
        gap: Pixels between neighbors; half a patch in the paper.
        jitter: Largest number of pixels by which a neighbor is moved, up, down, left or right.
        color: "drop" keeps one random channel of each patch, "project" removes the axis from green to magenta, "keep"
            leaves the shortcut open.
        hidden: Width of the two layers that combine both patches; None: the encoder's.

    Raises:
        InputError: An option is out of range.
    """

    directions: Tensor
    random_stream = 2011
    batch_entries: ClassVar[dict[str, str]] = {
        "image": "data.train to a dataset of images, such as Images",
        "sample_key": "data.train to a dataset with keys, such as Images",
    }

    def __init__(
        self,
        encoder: Encoder,
        patch: int = 96,
        gap: int = 48,
        jitter: int = 7,
        color: Color = "drop",
        hidden: int | None = None,
    ) -> None:
        super().__init__()
        if patch < 1 or gap < 0 or jitter < 0 or color not in ("drop", "project", "keep"):
            raise InputError(
                f"patch {patch}, gap {gap}, jitter {jitter}, color {color!r}: wanted a side of 1 or more, pixels of 0 "
                "or more, and drop, project or keep"
            )
        self.encoder, self.patch, self.gap, self.jitter, self.color = encoder, patch, gap, jitter, color
        width = hidden or encoder.dim
        self.head = mlp(2 * encoder.dim, width, width, NEIGHBORS, norm=True)
        directions = [[row, column] for row in (-1, 0, 1) for column in (-1, 0, 1) if (row, column) != (0, 0)]
        self.register_buffer("directions", torch.tensor(directions), persistent=False)  # (8, 2)

    def forward(self, batch: dict[str, Any]) -> dict[str, Tensor]:
        """Computes the cross-entropy of the eight positions, and logs the accuracy; chance is 0.125."""
        pair, position = self.pairs(batch["image"], batch["sample_key"])
        logits = self._logits(pair)
        return {"loss": F.cross_entropy(logits, position), "accuracy": (logits.argmax(1) == position).float().mean()}

    def pairs(self, image: Tensor, sample_key: Tensor) -> tuple[Tensor, Tensor]:
        """Draws a patch and a neighbor from each image.

        Args:
            image: (B, 3, H, W) in [0, 1].
            sample_key: (B,) int64, the keys of the random draws.

        Returns:
            (B, 2, 3, P, P) pairs as the encoder gets them, and (B,) int64, the position of the neighbor in 0 to 7.
        """
        top, left, position, channel = self._draw_corners(image, sample_key)
        pair = standardize(_without_aberration(cut(image, top, left, self.patch), channel, self.color))
        return pair * self.encoder.std + self.encoder.mean, position

    @torch.no_grad()
    def images(self, image: Tensor, sample_key: Tensor) -> dict[str, Tensor]:
        """Returns the two patches as they lie and as predicted, the latter in a green frame if that is right."""
        top, left, position, _ = self._draw_corners(image, sample_key)
        predicted = self._logits(self.pairs(image, sample_key)[0]).argmax(1)
        patches = cut(image, top, left, self.patch)
        step = self.patch + self.gap
        panels = []
        for neighbor in (position, predicted):
            direction = self.directions[neighbor]  # (B, 2)
            corners = torch.stack([torch.zeros_like(direction), direction], 1)  # (B, 2, 2)
            top, left = (step * (1 + corners)).unbind(2)
            panels.append(paste(patches, top, left, 2 * step + self.patch))
        return {"image": image, "two patches": panels[0], "guessed": framed(panels[1], predicted == position)}

    def _logits(self, pair: Tensor) -> Tensor:
        """Returns the (B, 8) logits of pairs (B, 2, 3, P, P)."""
        features = self.encoder(pair.flatten(0, 1)).unflatten(0, (-1, 2))  # (B, 2, D)
        logits: Tensor = self.head(features.flatten(1))
        return logits

    def _draw_corners(self, image: Tensor, sample_key: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Returns top rows (B, 2), left columns (B, 2), the neighbor's position (B,), and channels (B, 2).

        All neighbors of the first patch lie inside the image, so that its position gives nothing away.
        """
        margin = self.patch + self.gap + self.jitter
        room = [side - 2 * margin - self.patch for side in image.shape[2:]]
        if min(room) < 0:
            raise InputError(
                f"images of {image.shape[2]} x {image.shape[3]} pixels are too small for patches of {self.patch} "
                f"with gap {self.gap} and jitter {self.jitter}; wanted {2 * margin + self.patch} pixels a side"
            )
        numbers = uniform(sample_key, 7, self.random_stream)

        def integers(column: int, count: int) -> Tensor:
            return (numbers[:, column] * count).long()

        position = integers(0, NEIGHBORS)
        direction = self.directions[position]  # (B, 2) row and column
        starts = []
        for axis in (0, 1):
            first = margin + integers(1 + axis, room[axis] + 1)
            moved = integers(3 + axis, 2 * self.jitter + 1) - self.jitter
            starts.append(torch.stack([first, first + direction[:, axis] * (self.patch + self.gap) + moved], 1))
        top, left = starts
        return top, left, position, (3 * numbers[:, 5:7]).long()


def _without_aberration(patches: Tensor, channel: Tensor, color: Color) -> Tensor:
    """Removes chromatic aberration from (B, N, 3, P, P) patches; "drop" keeps the (B, N) channels."""
    if color == "drop":
        return patches * F.one_hot(channel, 3).to(patches.dtype)[..., None, None]
    if color == "project":
        axis = patches.new_tensor([-1.0, 2.0, -1.0])[:, None, None] / 6**0.5  # green against magenta, of length 1
        return patches - axis * (axis * patches).sum(2, keepdim=True)
    return patches
