"""Checkpoints that are whole or not there: written beside the target, flushed, then renamed."""

import os
from pathlib import Path
from typing import Any

import lightning.pytorch as L
import torch
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.plugins.io import TorchCheckpointIO

from mmcontrast.train.errors import replacing


def write_atomically(payload: Any, path: Path) -> None:
    """``torch.save`` that replaces ``path`` only when all bytes are on the disk.

    Raises:
        TrainingError: the disk is full or fails; the file that was there before is intact.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    with replacing(path, part):
        with part.open("wb") as file:
            torch.save(payload, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)


class AtomicCheckpointIO(TorchCheckpointIO):
    """Lightning's checkpoints, written atomically and never unpickled."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Writes beside ``path`` and renames."""
        write_atomically(checkpoint, Path(path))

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: bool | None = True) -> dict[str, Any]:
        """Loads tensors and plain values; anything else is refused."""
        return dict(torch.load(path, map_location=map_location or "cpu", weights_only=True))


class LastCheckpoint(Checkpoint):
    """Keeps ``last.ckpt`` of a run directory fresh: after every epoch, every so many steps, and on SIGTERM.

    Lightning calls checkpoint callbacks after all others, so what they logged belongs to the checkpoint.

    Args:
        path: the file.
        every: optimizer steps between saves within an epoch.
    """

    def __init__(self, path: Path, every: int = 1000) -> None:
        self.path, self.every = Path(path), every
        self._saved = 0  # step of the newest checkpoint

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """A resumed run has just read its newest checkpoint."""
        self._saved = trainer.global_step

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Saves in mid-epoch, unless a validation or the epoch's end follows and saves then."""
        loop = trainer.fit_loop.epoch_loop
        due = trainer.global_step - self._saved >= self.every or trainer.received_sigterm
        if due and not loop.batch_progress.is_last_batch and not loop._should_accumulate():
            self._save(trainer)

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Saves after a validation in mid-epoch, so that its figures belong to the checkpoint."""
        if (
            trainer.state.fn == "fit"
            and not trainer.sanity_checking
            and not trainer.fit_loop.epoch_loop.batch_progress.is_last_batch
        ):
            self._save(trainer)

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Saves after the epoch and its validation."""
        self._save(trainer)

    def _save(self, trainer: L.Trainer) -> None:
        trainer.save_checkpoint(self.path)
        self._saved = trainer.global_step
