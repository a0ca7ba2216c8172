"""Rotation: tell which way up an image is, for which a network must know what things look like.

Gidaris, Singh, Komodakis, ICLR 2018, https://arxiv.org/abs/1803.07728.
"""

from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmcontrast.encoders.base import Encoder
from mmcontrast.errors import InputError
from mmcontrast.methods.base import Method
from mmcontrast.ops.patches import framed
from mmcontrast.ops.random import uniform

TURNS = 4  # quarter turns


class Rotation(Method):
    """Tells the four quarter turns of an image apart.

    Batch: ``image`` (B, 3, S, S) float in [0, 1], upright photographs.

    All four turns of an image are in the batch, which works much better than one drawn at random (section 2.2).
    Quarter turns move pixels without interpolation, so that the turning leaves no trace to learn from.

    Args:
        encoder: The network, whose pooled output is classified.
    """

    random_stream = 2010
    batch_entries: ClassVar[dict[str, str]] = {"image": "data.train to a dataset of images, such as Images"}

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.encoder, self.head = encoder, nn.Linear(encoder.dim, TURNS)

    def forward(self, batch: dict[str, Any]) -> dict[str, Tensor]:
        """Computes the cross-entropy of the four turns (eq. 3), and logs the accuracy; chance is 0.25."""
        image = batch["image"]
        turned = torch.cat([turn(image, k) for k in range(TURNS)])  # (4B, 3, S, S)
        k = torch.arange(TURNS, device=image.device).repeat_interleave(len(image))
        logits = self.head(self.encoder(turned))
        return {"loss": F.cross_entropy(logits, k), "accuracy": (logits.argmax(1) == k).float().mean()}

    @torch.no_grad()
    def turns(self, image: Tensor) -> Tensor:
        """Returns the (B, 4) probabilities that images (B, 3, S, S) are turned left by 0, 90, 180 or 270 degrees."""
        logits: Tensor = self.head(self.encoder(image))
        return logits.softmax(1)

    @torch.no_grad()
    def images(self, image: Tensor, sample_key: Tensor) -> dict[str, Tensor]:
        """Returns images turned at random, and turned back as predicted, in a green frame where that is right."""
        k = (TURNS * uniform(sample_key, 1, self.random_stream)[:, 0]).long()  # (B,)
        every = torch.stack([turn(image, k) for k in range(TURNS)])  # (4, B, 3, S, S)
        rows = torch.arange(len(image), device=image.device)
        turned = every[k, rows]
        predicted = self.turns(turned).argmax(1)
        return {"turned": turned, "turned back": framed(every[(k - predicted) % TURNS, rows], predicted == k)}


def turn(image: Tensor, quarters: int) -> Tensor:
    """Turns images to the left.

    Args:
        image: (B, 3, S, S).
        quarters: Number of quarter turns.

    Returns:
        (B, 3, S, S).

    Raises:
        InputError: The images are not square.
    """
    if image.shape[2] != image.shape[3]:
        raise InputError(f"images to turn must be square; these have {image.shape[2]} x {image.shape[3]} pixels")
    return image.rot90(quarters, (2, 3))
