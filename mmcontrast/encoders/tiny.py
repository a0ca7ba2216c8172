"""Encoders that train in seconds on a CPU, for tests, smoke runs and tutorials."""

import zlib
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mmcontrast.encoders.base import Encoder, TextEncoder, Tokenizer


class TinyConv(Encoder):
    """Two convolutions, stride 4."""

    def __init__(self, dim: int = 16, in_channels: int = 3, image_size: int = 32) -> None:
        super().__init__(mean=[0.5] * in_channels, std=[0.25] * in_channels)
        self.dim, self.stride, self.image_size = dim, 4, image_size
        self.net = nn.Sequential(
            nn.Conv2d(in_channels, dim, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(dim, dim, 3, stride=2, padding=1),
        )

    def grid(self, image: Tensor) -> Tensor:
        """(B, C, H, W) in [0, 1] -> (B, D, ceil(H / 4), ceil(W / 4))."""
        return self.net(self.normalize(image))

    def blocks(self, image: Tensor) -> list[Tensor]:
        """(B, C, H, W) in [0, 1] -> both convolutions, the first after its ReLU."""
        first = self.net[:2](self.normalize(image))
        return [first, self.net[2](first)]


class TinyTokenizer(Tokenizer):
    """Words to hash buckets; 0 pads."""

    def __init__(self, vocabulary: int = 256, context_length: int = 16) -> None:
        self.vocabulary, self.context_length = vocabulary, context_length

    def __call__(self, texts: Sequence[str]) -> Tensor:
        """B strings -> (B, L) int64, padded to the longest."""
        rows = [[1 + zlib.crc32(w.encode()) % (self.vocabulary - 1) for w in t.lower().split()] for t in texts]
        length = max(1, min(self.context_length, max(map(len, rows), default=1)))
        return torch.tensor([(row + [0] * length)[:length] for row in rows], dtype=torch.int64).view(-1, length)

    def count(self, text: str) -> int:
        """Words in ``text``."""
        return len(text.split())


class TinyText(TextEncoder):
    """The mean of word vectors."""

    def __init__(self, dim: int = 16, vocabulary: int = 256, context_length: int = 16) -> None:
        super().__init__()
        self.dim = dim
        self.tokenizer = TinyTokenizer(vocabulary, context_length)
        self.table = nn.EmbeddingBag(vocabulary, dim, padding_idx=0)

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, L) int64 -> (B, D)."""
        return self.table(tokens)
