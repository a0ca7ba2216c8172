"""Shuffling and randomness that are functions of (seed, epoch, index): a resumed run is the same run."""

from collections.abc import Iterator, Sized
from typing import NamedTuple

import torch
from torch.utils.data import Sampler

from mmcontrast.ops.random import derive_key


class SampleKey(NamedTuple):
    """What a dataset is asked for: a sample, and the randomness to draw it with."""

    index: int  # type: ignore[assignment]  # the field hides tuple.index, which nobody needs here
    epoch: int = 0
    seed: int = 0

    @classmethod
    def of(cls, key: "int | SampleKey") -> "SampleKey":
        """A plain index is epoch 0 of seed 0."""
        return key if isinstance(key, SampleKey) else cls(int(key))

    def to_int(self) -> int:
        """One 63-bit number for ``ops.random`` and numpy generators; batches carry it as ``sample_key`` (B,) int64."""
        return derive_key(self.seed, self.epoch, self.index)


class KeyedSampler(Sampler[SampleKey]):
    """Every rank's share of one epoch, as keys.

    The order depends on (seed, epoch) alone.  Rank r takes places r, r + world, ... of it, so that the global batch
    holds the same samples at any number of ranks.  With ``drop_last`` the tail that does not fill all ranks is dropped,
    else it wraps around.

    Args:
        data: anything with a length.
        start: places of this rank to skip in the next epoch to be iterated (mid-epoch resume); used once.
    """

    def __init__(
        self,
        data: Sized,
        rank: int = 0,
        world: int = 1,
        shuffle: bool = True,
        drop_last: bool = True,
        seed: int = 0,
        start: int = 0,
    ) -> None:
        self.data, self.rank, self.world = data, rank, world
        self.shuffle, self.drop_last, self.seed, self.start = shuffle, drop_last, seed, start
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Chooses the permutation of the next iteration."""
        self.epoch = epoch

    def __len__(self) -> int:
        n = len(self.data)
        return n // self.world if self.drop_last else -(-n // self.world)

    def __iter__(self) -> Iterator[SampleKey]:
        n = len(self.data)
        generator = torch.Generator().manual_seed(derive_key(self.seed, self.epoch))
        order = torch.randperm(n, generator=generator) if self.shuffle else torch.arange(n)
        places = (torch.arange(len(self))[self.start :] * self.world + self.rank) % n
        self.start = 0
        for index in order[places].tolist():
            yield SampleKey(index, self.epoch, self.seed)
