"""Collation of samples to batches, and a counter of those that could not be read."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mmcontrast.data.io.decode import ImageError
from mmcontrast.errors import InputError


class Collate:
    """A collate function that stacks samples; it runs in the data workers.

    Tensors, arrays and numbers are stacked to tensors, strings become lists.  It drops corrupt samples and puts
    their messages into ``batch["corrupt"]`` (list of str, empty when no sample is corrupt).

    Args:
        tokenizer: Tokenizer that replaces ``text`` by ``tokens`` (B, L) int64; None keeps the text.
        keep_size: Whether other samples of the batch replace corrupt ones, so that batches of all ranks have one size.
    """

    def __init__(self, tokenizer: Callable[[Sequence[str]], Tensor] | None = None, keep_size: bool = False) -> None:
        self.tokenizer, self.keep_size = tokenizer, keep_size

    def __call__(self, samples: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Returns a batch.

        Args:
            samples: Samples of one data set.

        Raises:
            ImageError: No sample could be read.
            InputError: The samples differ in their entries.
        """
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
    """A counter of corrupt samples, which raises an error when there are too many.

    Args:
        limit: Largest tolerated fraction of all samples so far, or of 500 samples while there have been fewer.
    """

    def __init__(self, limit: float = 0.01) -> None:
        self.limit, self.seen, self.corrupt = limit, 0, 0
        self.first: list[str] = []

    def update(self, batch: Mapping[str, Any]) -> None:
        """Counts the samples of a batch.

        Args:
            batch: ``sample_key`` (B,) and ``corrupt``, the messages of the corrupt samples.

        Raises:
            ImageError: More samples than the limit are corrupt; the message names the first few.
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
