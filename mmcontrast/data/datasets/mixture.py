"""Several data sets as one, in chosen proportions."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset

from mmcontrast.data.sampler import SampleKey
from mmcontrast.errors import InputError
from mmcontrast.ops.random import derive_key


class Mixture(Dataset[dict[str, Any]]):
    """Several sources as one data set.

    Without weights it is their concatenation.  With weights each epoch has ``length`` samples, which the
    sources provide in proportion to their weights.  Each source has a shuffled order of its own that continues from
    epoch to epoch, so that every sample is seen once before any is seen again.

    Args:
        sources: Data sets whose samples have the same entries.
        weights: Relative weights, one for each source; None concatenates the sources.
        length: Number of samples per epoch with weights; None means the sum of the sources' lengths.
    """

    def __init__(
        self,
        sources: Sequence[Dataset],  # type: ignore[type-arg]  # jsonargparse reads no arguments of a generic alias
        weights: Sequence[float] | None = None,
        length: int | None = None,
    ) -> None:
        sizes = [len(source) for source in sources]  # type: ignore[arg-type]
        if not sizes:
            raise InputError("a mixture needs at least one source")
        if weights is None and length is not None:
            raise InputError("length belongs to weights; without them every sample is seen once an epoch")
        if weights is not None and (len(weights) != len(sizes) or min(weights) < 0 or sum(weights) <= 0):
            raise InputError(f"weights are {list(weights)}; wanted {len(sizes)} of them, none negative, not all 0")
        self.sources: list[Any] = list(sources)
        self.sizes, self.weighted = sizes, weights is not None
        total = length or sum(sizes)
        fractions = np.array(sizes if weights is None else weights, np.float64)
        self.ends = np.round(fractions.cumsum() / fractions.sum() * total).astype(np.int64)

    def __len__(self) -> int:
        return int(self.ends[-1])

    def __getitem__(self, sample_key: int | SampleKey) -> dict[str, Any]:
        sample_key = SampleKey.of(sample_key)
        number, index, part_size = self._find(sample_key.index)
        if not self.weighted:
            plain = SampleKey(index, sample_key.epoch, derive_key(sample_key.seed, number))
            return dict(self.sources[number][plain])
        seed, size = derive_key(sample_key.seed, number), self.sizes[number]
        walk, step = divmod(sample_key.epoch * part_size + index, size)
        index = int(_order(size, derive_key(seed, walk))[step])
        return dict(self.sources[number][SampleKey(index, walk, seed)])

    def name(self, index: int) -> str:
        """Returns the name of a sample of an unweighted mixture."""
        number, index, _ = self._find(index)
        return str(self.sources[number].name(index))

    def captions(self, index: int) -> list[str]:
        """Returns all captions of an image of an unweighted mixture."""
        if self.weighted:
            raise InputError("a weighted mixture shows other images in each epoch; evaluate on its sources")
        number, index, _ = self._find(index)
        return list(self.sources[number].captions(index))

    def _find(self, index: int) -> tuple[int, int, int]:
        """Returns the number of the source, the index in its part of the epoch, and the size of that part."""
        if not 0 <= index < len(self):
            raise IndexError(index)
        number = int(np.searchsorted(self.ends, index, side="right"))
        start = int(self.ends[number - 1]) if number else 0
        return number, index - start, int(self.ends[number]) - start


@lru_cache(maxsize=8)
def _order(size: int, seed: int) -> np.ndarray:
    return torch.randperm(size, generator=torch.Generator().manual_seed(seed)).numpy()
