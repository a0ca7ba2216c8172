"""Relative patch: where does this patch belong, seen from that one?

Doersch, Gupta, Efros, ICCV 2015.  https://arxiv.org/abs/1505.05192
"""

from typing import Any, Literal

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
_DRAW = 2011  # stream of random numbers
NEIGHBORS = 8


class RelativePatch(Method):
    """Tells which of its eight neighbors a patch is to another one.

    Batch: ``image`` (B, 3, H, W) float in [0, 1], no smaller than three patches with their gaps; ``sample_key`` (B,) int64.

    Two shortcuts are closed as in the paper: lines that go on across a border, by a gap and jitter between the patches;
    the lens, whose colors part more the farther from the middle, by ``color``.  Two deviations: patches are also
    brought to equal contrast, and dropped channels are flat instead of faint noise.  Blurring some of the patches is
    left to the data's augmentation.

    Args:
        encoder: of a patch.
        patch: side in pixels; 96 in the paper, of images of about 400.
        gap: pixels between neighbors; half a patch in the paper.
        jitter: pixels by which a neighbor is moved at most, up, down, left or right.
        color: "drop" keeps one channel of each patch, drawn at random; "project" takes green against magenta away;
            "keep" leaves the shortcut open.
        hidden: width of the two layers that see both patches; None: the encoder's.
    """

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
        self.directions: Tensor
        directions = [[row, column] for row in (-1, 0, 1) for column in (-1, 0, 1) if (row, column) != (0, 0)]
        self.register_buffer("directions", torch.tensor(directions), persistent=False)  # (8, 2)

    def forward(self, batch: dict[str, Any]) -> dict[str, Tensor]:
        """One batch -> loss and accuracy; chance is 0.125."""
        pair, position = self.pairs(batch["image"], batch["sample_key"])
        logits = self._positions(pair)
        return {"loss": F.cross_entropy(logits, position), "accuracy": (logits.argmax(1) == position).float().mean()}

    def pairs(self, image: Tensor, sample_key: Tensor) -> tuple[Tensor, Tensor]:
        """(B, 2, 3, P, P) a patch and its neighbor, as the encoder gets them, and (B,) int64 which one that is."""
        top, left, position, channel = self._places(image, sample_key)
        pair = standardize(_guarded(cut(image, top, left, self.patch), channel, self.color))
        return pair * self.encoder.std + self.encoder.mean, position

    @torch.no_grad()
    def images(self, image: Tensor, sample_key: Tensor) -> dict[str, Tensor]:
        """The two patches where they belong, and the neighbor where it was thought to be (green: that is right)."""
        top, left, position, _ = self._places(image, sample_key)
        guess = self._positions(self.pairs(image, sample_key)[0]).argmax(1)
        patches = cut(image, top, left, self.patch)
        step = self.patch + self.gap
        stages = []
        for place in (position, guess):
            corners = torch.stack([torch.zeros_like(self.directions[place]), self.directions[place]], 1)  # (B, 2, 2)
            top, left = (step * (1 + corners)).unbind(2)
            stages.append(paste(patches, top, left, 2 * step + self.patch))
        return {"image": image, "two patches": stages[0], "guessed": framed(stages[1], guess == position)}

    def _positions(self, pair: Tensor) -> Tensor:
        """(B, 2, 3, P, P) -> (B, 8) logits."""
        return self.head(self.encoder(pair.flatten(0, 1)).unflatten(0, (-1, 2)).flatten(1))

    def _places(self, image: Tensor, sample_key: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """First rows and columns (B, 2) of both patches, the neighbor's position (B,), the channels (B, 2) to keep.

        The first patch lies where all its neighbors are inside, so that its place gives nothing away.
        """
        margin = self.patch + self.gap + self.jitter
        room = [side - 2 * margin - self.patch for side in image.shape[2:]]
        if min(room) < 0:
            raise InputError(
                f"images of {image.shape[2]} x {image.shape[3]} pixels are too small for patches of {self.patch} "
                f"with gap {self.gap} and jitter {self.jitter}; wanted {2 * margin + self.patch} pixels a side"
            )
        numbers = uniform(sample_key, 7, _DRAW)
        integers = lambda place, count: (numbers[:, place] * count).long()
        position = integers(0, NEIGHBORS)
        direction = self.directions[position]  # (B, 2) row and column
        starts = []
        for axis in (0, 1):
            first = margin + integers(1 + axis, room[axis] + 1)
            moved = integers(3 + axis, 2 * self.jitter + 1) - self.jitter
            starts.append(torch.stack([first, first + direction[:, axis] * (self.patch + self.gap) + moved], 1))
        return *starts, position, (3 * numbers[:, 5:7]).long()


def _guarded(patches: Tensor, channel: Tensor, color: Color) -> Tensor:
    """(B, N, 3, P, P) patches, and for each (B, N) the channel to keep -> the same without what a lens gives away."""
    if color == "drop":
        kept = F.one_hot(channel, 3).to(patches.dtype)[..., None, None]
        return patches * kept
    if color == "project":
        axis = patches.new_tensor([-1.0, 2.0, -1.0])[:, None, None] / 6**0.5  # green against magenta, of length 1
        return patches - axis * (axis * patches).sum(2, keepdim=True)
    return patches
