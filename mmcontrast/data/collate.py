"""Samples to batches, and the account of those that could not be read."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mmcontrast.data.io.decode import ImageError
from mmcontrast.errors import InputError


class Collate:
    """Stacks samples; runs in the data workers.

    Tensors, arrays and numbers are stacked to tensors, strings become lists.  Corrupt samples are dropped and their
    messages kept in ``batch["corrupt"]`` (list of str, empty when all is well).

    Args:
        tokenizer: if given, ``text`` is replaced by ``tokens`` (B, L) int64.
        keep_size: fill the places of corrupt samples with others of the same batch, so that all ranks have as many.
    """

    def __init__(self, tokenizer: Callable[[Sequence[str]], Tensor] | None = None, keep_size: bool = False) -> None:
        self.tokenizer, self.keep_size = tokenizer, keep_size

    def __call__(self, samples: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Samples of one data set -> a batch."""
        corrupt = [sample["corrupt"] for sample in samples if "corrupt" in sample]
        good = [sample for sample in samples if "corrupt" not in sample]
        if not good:
            raise ImageError(f"none of the {len(corrupt)} images of a batch could be read: {_first(corrupt)}")
        if self.keep_size:
            good = [good[i % len(good)] for i in range(len(samples))]
        names = good[0].keys()
        if any(sample.keys() != names for sample in good):
            differing = {name for sample in good for name in sample.keys() ^ names}
            raise InputError(f"samples of one batch differ in what they hold: {', '.join(sorted(differing))}")
        batch: dict[str, Any] = {name: _stack([sample[name] for sample in good]) for name in names}
        if self.tokenizer is not None and "text" in batch:
            batch["tokens"] = self.tokenizer(batch.pop("text"))
        return {**batch, "corrupt": corrupt}


class CorruptCount:
    """Counts corrupt samples over batches and stops when they are too many.

    Args:
        limit: largest tolerated fraction.  Until 500 samples have been seen, it is taken of 500.
    """

    def __init__(self, limit: float = 0.01) -> None:
        self.limit, self.seen, self.corrupt = limit, 0, 0
        self.first: list[str] = []

    def update(self, batch: Mapping[str, Any]) -> None:
        """Takes ``batch["sample_key"]`` and ``batch["corrupt"]`` into account.

        Raises:
            ImageError: more than the limit were corrupt; names the first few.
        """
        messages = batch.get("corrupt", [])
        self.seen += len(batch["sample_key"]) + len(messages)
        self.corrupt += len(messages)
        self.first = (self.first + list(messages))[:5]
        if self.corrupt > self.limit * max(self.seen, 500):
            raise ImageError(
                f"{self.corrupt} of {self.seen} images could not be read, more than {self.limit:.0%}: "
                f"{_first(self.first)}"
            )


def _first(messages: Sequence[str]) -> str:
    return "; ".join(messages[:5]) + ("; ..." if len(messages) > 5 else "")


def _stack(values: Sequence[Any]) -> Any:
    first = values[0]
    if isinstance(first, np.ndarray):
        values, first = [torch.from_numpy(value) for value in values], torch.from_numpy(first)
    if isinstance(first, Tensor):
        return torch.stack(list(values)).contiguous()
    return torch.tensor(values) if isinstance(first, bool | int | float) else list(values)
