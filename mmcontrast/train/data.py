"""The data module of every method: it loads samples, and augments batches on the device."""

import os
from typing import Any

import lightning.pytorch as L
import torch
from torch import nn
from torch.utils.data import Dataset

from mmcontrast.data.augment.views import ToFloat
from mmcontrast.data.collate import Collate, CorruptCount
from mmcontrast.data.datasets.any_dataset import AnyDataset, Subset, takes_keys
from mmcontrast.data.sampler import KeyedSampler
from mmcontrast.errors import InputError
from mmcontrast.ops.distributed import get_rank, world_size
from mmcontrast.train.loader import Loader


class _Validation(KeyedSampler):
    """A sampler that draws the same keys in every epoch."""

    def set_epoch(self, epoch: int) -> None:
        """Ignores the epoch."""


def default_workers() -> int:
    """Returns the number of cores for each process of this machine, at most 8."""
    affinity = getattr(os, "sched_getaffinity", None)  # absent on macOS and Windows
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    return min(8, cores // int(os.environ.get("LOCAL_WORLD_SIZE", 1)))


class Data(L.LightningDataModule):
    """A training set, how to augment it, and how large a batch is.

    Args:
        train: Training set. Data sets of other libraries are wrapped by ``AnyDataset``.
        val: Validation set, on which ``val/loss`` is computed after each epoch.
        augment: Runs on the device, on whole uint8 batches; None turns images into floats in [0, 1].
        val_augment: The same for ``val``; None takes ``augment``.
        batch_size: Samples per forward pass of all ranks together.
        workers: Data processes per rank; None: one per core of its share, at most 8; 0: load in the main process.
        seed: Seed of the order and of every augmentation.
        timeout: Seconds to wait for the batch of a worker.
        max_corrupt: Fraction of unreadable samples beyond which training stops.
        limit: Number of training samples to use, drawn at random once; None uses all.
    """

    def __init__(
        self,
        train: Dataset,  # type: ignore[type-arg]  # jsonargparse reads no arguments of a generic alias
        val: Dataset | None = None,  # type: ignore[type-arg]
        augment: nn.Module | None = None,
        val_augment: nn.Module | None = None,
        batch_size: int = 64,
        workers: int | None = None,
        seed: int = 0,
        timeout: float = 110.0,
        max_corrupt: float = 0.01,
        limit: int | None = None,
    ) -> None:
        super().__init__()
        self.train: Dataset[Any] = train if takes_keys(train) else AnyDataset(train)
        self.val: Dataset[Any] | None = val if val is None or takes_keys(val) else AnyDataset(val)
        if limit is not None and limit < len(self.train):  # type: ignore[arg-type]
            self.train = Subset(self.train, limit)
        self.augment = augment
        self.val_augment = augment if val_augment is None else val_augment
        self.batch_size, self.seed, self.timeout = batch_size, seed, timeout
        self.workers = default_workers() if workers is None else workers
        self.unreadable = CorruptCount(max_corrupt)

    def setup(self, stage: str) -> None:
        """Puts the augmentations on the device."""
        for augment in (self.augment, self.val_augment):
            if augment is not None:
                augment.to(self._trainer.strategy.root_device)

    @property
    def _trainer(self) -> L.Trainer:
        assert self.trainer is not None  # Lightning sets it before any hook
        return self.trainer

    def train_dataloader(self) -> Loader:
        """Returns the loader of this rank's part of each batch; an incomplete last batch is dropped."""
        self._train_loader = self._loader(self.train, training=True)
        if len(self._train_loader) == 0:
            count = len(self.train)  # type: ignore[arg-type]
            raise InputError(f"the training set has {count} samples, fewer than one batch of {self.batch_size}")
        return self._train_loader

    def val_dataloader(self) -> Loader | list[Any]:
        """Returns the loader of the validation set, in its own order."""
        return [] if self.val is None else self._loader(self.val, training=False)

    def _loader(self, data: Dataset[Any], training: bool) -> Loader:
        rank, size = get_rank(), world_size()
        if self.batch_size % size:
            raise InputError(
                f"data.batch_size {self.batch_size} does not divide over {size} ranks; give a multiple of {size}"
            )
        sampler = (KeyedSampler if training else _Validation)(
            data,  # type: ignore[arg-type]
            rank,
            size,
            shuffle=training,
            drop_last=training,
            seed=self.seed,
        )
        collate = Collate(self._tokenizer(), keep_size=training and size > 1)
        return Loader(data, sampler, self.batch_size // size, self.workers, collate, training, self.timeout)

    def _tokenizer(self) -> Any:
        learner = self.trainer.lightning_module if self.trainer else None
        return getattr(getattr(learner, "method", None), "tokenizer", None)

    def on_after_batch_transfer(self, batch: dict[str, Any], dataloader_idx: int) -> dict[str, Any]:
        """Counts unreadable samples and augments on the device.

        Args:
            batch: As ``Collate`` makes it.
            dataloader_idx: Not used.

        Returns:
            The batch that the method gets.

        Raises:
            ImageError: More than ``max_corrupt`` of the training samples could not be read.
        """
        training = self._trainer.training
        if training:
            self.unreadable.update(batch)
        batch.pop("corrupt", None)
        augment = self.augment if training else self.val_augment
        if augment is None and getattr(batch.get("image"), "dtype", None) == torch.uint8:
            augment = ToFloat()
        with torch.no_grad():
            return batch if augment is None else augment(batch)

    def describe(self, keys: list[int]) -> list[str]:
        """Returns the names that messages use for the samples of this epoch with these keys."""
        index = self._train_loader.keys(self._trainer.current_epoch)
        name = getattr(self.train, "name", None)
        return [str(key) if key not in index else name(index[key]) if name else f"sample {index[key]}" for key in keys]

    def state_dict(self) -> dict[str, Any]:
        """Returns the count of unreadable samples; the position in the epoch is the loader's own state."""
        return {"seen": self.unreadable.seen, "corrupt": self.unreadable.corrupt, "first": self.unreadable.first}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restores the count of unreadable samples."""
        for name, value in state_dict.items():
            setattr(self.unreadable, name, value)
