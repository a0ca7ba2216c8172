"""The one data module: loads any dataset, moves each batch once, augments it where it landed."""

import os
from typing import Any

import lightning.pytorch as L
import torch
from torch import nn
from torch.utils.data import Dataset

from mmcontrast.data.augment.views import ToFloat
from mmcontrast.data.collate import Collate, CorruptCount
from mmcontrast.data.sampler import KeyedSampler
from mmcontrast.errors import InputError
from mmcontrast.ops.distributed import get_rank, world_size
from mmcontrast.train.loader import Loader


class _Validation(KeyedSampler):
    """Every validation sees the same keys."""

    def set_epoch(self, epoch: int) -> None:
        pass


def default_workers() -> int:
    """The cores of this process's share of the machine, at most 8."""
    return min(8, len(os.sched_getaffinity(0)) // int(os.environ.get("LOCAL_WORLD_SIZE", 1)))


class Data(L.LightningDataModule):
    """A training set, how to augment it, and how large a batch is.

    Args:
        train: yields dictionaries with ``sample_key``.
        val: what ``val/loss`` is computed on after each epoch.
        augment: runs on the device, on whole uint8 batches; None: images only become floats in [0, 1].
        val_augment: the same for ``val``; None: as in training.
        batch_size: samples per forward pass of all ranks together.
        workers: data processes per rank; None: one per core of its share, at most 8; 0: load in the main process.
        seed: of the order and of every augmentation.
        timeout: seconds to wait for a worker's batch.
        max_corrupt: share of unreadable samples beyond which training stops.
    """

    def __init__(
        self,
        train: Dataset,
        val: Dataset | None = None,
        augment: nn.Module | None = None,
        val_augment: nn.Module | None = None,
        batch_size: int = 64,
        workers: int | None = None,
        seed: int = 0,
        timeout: float = 110.0,
        max_corrupt: float = 0.01,
    ) -> None:
        super().__init__()
        self.train, self.val, self.augment = train, val, augment
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
        """This rank's share of each batch; whole batches only."""
        self._train_loader = self._loader(self.train, training=True)
        if len(self._train_loader) == 0:
            count = len(self.train)  # type: ignore[arg-type]
            raise InputError(f"the training set has {count} samples, fewer than one batch of {self.batch_size}")
        return self._train_loader

    def val_dataloader(self) -> Loader | list[Any]:
        """The validation set in its own order."""
        return [] if self.val is None else self._loader(self.val, training=False)

    def _loader(self, data: Dataset, training: bool) -> Loader:
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

        Raises:
            ImageError: more than ``max_corrupt`` of the training samples could not be read.
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
        """What the error messages call the samples of this epoch with these folded keys."""
        index = self._train_loader.keys(self._trainer.current_epoch)
        name = getattr(self.train, "name", None)
        return [str(key) if key not in index else name(index[key]) if name else f"sample {index[key]}" for key in keys]

    def state_dict(self) -> dict[str, Any]:
        """The tally of unreadable samples; the place in the epoch is the loader's own state."""
        return {"seen": self.unreadable.seen, "corrupt": self.unreadable.corrupt, "first": self.unreadable.first}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Counterpart of ``state_dict``."""
        for name, value in state_dict.items():
            setattr(self.unreadable, name, value)
