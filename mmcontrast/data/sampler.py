"""Shuffling and randomness that are functions of (seed, epoch, index): a resumed run is the same run."""

from collections.abc import Iterator, Sized
from typing import NamedTuple

import torch
from torch.utils.data import Sampler

from mmcontrast.ops.random import derive_key


class SampleKey(NamedTuple):
    """The index of a sample in a data set, with the epoch and the seed that its random numbers depend on."""

    index: int  # type: ignore[assignment]  # the field hides tuple.index, which nobody needs here
    epoch: int = 0
    seed: int = 0

    @classmethod
    def of(cls, key: "int | SampleKey") -> "SampleKey":
        """Returns the key itself, or a plain index as a key of epoch 0 and seed 0.

        Args:
            key: A key, or the index of a sample.
        """
        return key if isinstance(key, SampleKey) else cls(int(key))

    def to_int(self) -> int:
        """Returns a 63-bit seed for ``ops.random`` and numpy; batches carry it as ``sample_key`` (B,) int64."""
        return derive_key(self.seed, self.epoch, self.index)


class KeyedSampler(Sampler[SampleKey]):
    """A sampler that yields the part of an epoch that belongs to one rank, as keys.

    The order depends on (seed, epoch) alone.  Rank r takes positions r, r + num_ranks, ... of it, so that the global
    batch holds the same samples at any number of ranks.  With ``drop_last`` the tail that does not fill all ranks is
    dropped, else it wraps around.

    Args:
        data: Any object with a length.
        rank: Number of this rank, from 0.
        num_ranks: Number of ranks.
        shuffle: Whether the order is random; otherwise it is that of the data.
        drop_last: Whether to drop the samples that do not fill all ranks; otherwise some samples repeat.
        seed: Seed of the order and of the keys.
        start: Number of samples of this rank to skip in the next iteration, to resume within an epoch; used once.
    """

    def __init__(
        self,
        data: Sized,
        rank: int = 0,
        num_ranks: int = 1,
        shuffle: bool = True,
        drop_last: bool = True,
        seed: int = 0,
        start: int = 0,
    ) -> None:
        self.data, self.rank, self.num_ranks = data, rank, num_ranks
        self.shuffle, self.drop_last, self.seed, self.start = shuffle, drop_last, seed, start
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Sets the epoch of the next iteration.

        Args:
            epoch: Number of the epoch, from 0.
        """
        self.epoch = epoch

    def __len__(self) -> int:
        n = len(self.data)
        return n // self.num_ranks if self.drop_last else -(-n // self.num_ranks)

    def __iter__(self) -> Iterator[SampleKey]:
        n = len(self.data)
        generator = torch.Generator().manual_seed(derive_key(self.seed, self.epoch))
        order = torch.randperm(n, generator=generator) if self.shuffle else torch.arange(n)
        positions = (torch.arange(len(self))[self.start :] * self.num_ranks + self.rank) % n
        self.start = 0
        for index in order[positions].tolist():
            yield SampleKey(index, self.epoch, self.seed)
