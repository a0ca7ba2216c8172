"""One interface for three tracks: every image encoder has a pooled vector and a feature grid."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class Encoder(nn.Module):
    """An image encoder.

    Images are float in [0, 1]; the encoder normalises them itself with its ``mean`` and ``std``, so that no caller
    can get that wrong.

    Attributes:
        dim: channels D of both faces.
        stride: image pixels per grid cell.
        image_size: side in pixels that pictures are resized to for the pooled face; the grid takes any size.
    """

    dim: int
    stride: int
    image_size: int
    mean: Tensor
    std: Tensor

    def __init__(self, mean: Sequence[float] = (0.0, 0.0, 0.0), std: Sequence[float] = (1.0, 1.0, 1.0)) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean).view(-1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(-1, 1, 1), persistent=False)

    def normalize(self, image: Tensor) -> Tensor:
        """(B, C, H, W) in [0, 1] -> the same, centred and scaled as the network was trained."""
        return (image - self.mean) / self.std

    def grid(self, image: Tensor) -> Tensor:
        """(B, C, H, W) in [0, 1] -> (B, D, H / stride, W / stride)."""
        raise NotImplementedError

    def forward(self, image: Tensor) -> Tensor:
        """(B, C, H, W) in [0, 1] -> (B, D)."""
        return self.grid(image).mean((2, 3))


class Tokenizer:
    """Texts to token ids; a plain picklable object, so that data workers can hold one without the network."""

    context_length: int

    def __call__(self, texts: Sequence[str]) -> Tensor:
        """B strings -> (B, L) int64, L <= context_length, padded; longer texts are cut."""
        raise NotImplementedError

    def count(self, text: str) -> int:
        """Tokens that ``text`` needs, before any cut."""
        raise NotImplementedError


class TextEncoder(nn.Module):
    """A text encoder with the tokenizer that belongs to it."""

    dim: int
    tokenizer: Tokenizer

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, L) int64 -> (B, D)."""
        raise NotImplementedError
