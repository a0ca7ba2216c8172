"""Encoders that are trained in seconds on a CPU, for tests, smoke runs and tutorials."""

import zlib
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mmcontrast.encoders.base import Encoder, TextEncoder, Tokenizer


class TinyConv(Encoder):
    """An image encoder of two convolutions, of stride 4.

    Args:
        dim: Width D of both outputs.
        in_channels: Number of channels of the images.
        image_size: Side in pixels to which images are resized for the pooled output.
    """

    def __init__(self, dim: int = 16, in_channels: int = 3, image_size: int = 32) -> None:
        super().__init__(mean=[0.5] * in_channels, std=[0.25] * in_channels)
        self.dim, self.stride, self.image_size = dim, 4, image_size
        self.net = nn.Sequential(
            nn.Conv2d(in_channels, dim, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(dim, dim, 3, stride=2, padding=1),
        )

    def grid(self, image: Tensor) -> Tensor:
        """Computes features (B, D, ceil(H / 4), ceil(W / 4)) of images (B, C, H, W) in [0, 1]."""
        grid: Tensor = self.net(self.normalize(image))
        return grid

    def blocks(self, image: Tensor) -> list[Tensor]:
        """Computes the features of both convolutions, of the first after its ReLU."""
        first = self.net[:2](self.normalize(image))
        return [first, self.net[2](first)]


class TinyTokenizer(Tokenizer):
    """A tokenizer that hashes words; 0 is the padding.

    Args:
        vocabulary: Number of ids.
        context_length: Number of words after which a text is cut.
    """

    def __init__(self, vocabulary: int = 256, context_length: int = 16) -> None:
        self.vocabulary, self.context_length = vocabulary, context_length

    def __call__(self, texts: Sequence[str]) -> Tensor:
        """Tokenizes B texts; returns (B, L) int64, padded to the longest text."""
        rows = [[1 + zlib.crc32(w.encode()) % (self.vocabulary - 1) for w in t.lower().split()] for t in texts]
        length = max(1, min(self.context_length, max(map(len, rows), default=1)))
        return torch.tensor([(row + [0] * length)[:length] for row in rows], dtype=torch.int64).view(-1, length)

    def count(self, text: str) -> int:
        """Returns the number of words in ``text``."""
        return len(text.split())


class TinyText(TextEncoder):
    """A text encoder whose output is the mean of word vectors.

    Args:
        dim: Width D of the output.
        vocabulary: Number of word vectors.
        context_length: Number of words after which a text is cut.
    """

    def __init__(self, dim: int = 16, vocabulary: int = 256, context_length: int = 16) -> None:
        super().__init__()
        self.dim = dim
        self.tokenizer = TinyTokenizer(vocabulary, context_length)
        self.table = nn.EmbeddingBag(vocabulary, dim, padding_idx=0)

    def forward(self, tokens: Tensor) -> Tensor:
        """Computes vectors (B, D) of tokenized texts (B, L) int64."""
        mean: Tensor = self.table(tokens)
        return mean
