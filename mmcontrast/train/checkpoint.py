"""Checkpoints that are complete or absent: each is written beside the target, flushed, then renamed."""

import os
import signal
import threading
from pathlib import Path
from typing import Any

import lightning.pytorch as L
import torch
import torch.distributed as dist
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.plugins.io import TorchCheckpointIO

from mmcontrast.ops.distributed import world_size
from mmcontrast.train.errors import Stopped, replacing

_STEPS_BETWEEN_AGREEMENTS = 8  # with several ranks, which must stop at the same step


def write_atomically(payload: Any, path: Path) -> None:
    """Saves an object by ``torch.save``; ``path`` is replaced only when all bytes are on the disk.

    Args:
        payload: What to save.
        path: The file to replace.

    Raises:
        TrainingError: The disk is full or fails; the file that was there before is intact.
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
        """Loads tensors and plain values, and refuses anything else."""
        return dict(torch.load(path, map_location=map_location or "cpu", weights_only=True))


class LastCheckpoint(Checkpoint):
    """Saves ``last.ckpt`` of a run directory after every epoch, every so many steps, and on SIGTERM.

    It saves between two optimizer steps only, where no gradient is half accumulated, and after a validation rather than
    before it, so that a resumed run repeats nothing and leaves nothing out. Lightning calls checkpoint callbacks after
    all others, so that what they logged belongs to the checkpoint.

    Args:
        path: The file; None saves nothing.
        every: Optimizer steps between checkpoints within an epoch.
    """

    def __init__(self, path: Path | None, every: int = 1000) -> None:
        self.path, self.every = path, every
        self._saved_step = 0
        self._signal = 0

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Takes SIGTERM over from Lightning, whose handler talks to other ranks in the middle of a step."""
        if stage == "fit" and self.path is not None and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, self._note_signal)

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Notes the step of the checkpoint that a resumed run has just read."""
        self._saved_step = trainer.global_step

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Saves within an epoch, unless a validation or the epoch's end follows and saves then."""
        loop = trainer.fit_loop.epoch_loop
        if loop._should_accumulate() or loop.batch_progress.is_last_batch:
            return
        fetcher = trainer.fit_loop._data_fetcher
        if fetcher is not None and loop._should_check_val_fx(fetcher):
            return
        stop = self._must_stop(trainer.global_step % _STEPS_BETWEEN_AGREEMENTS == 0)
        if stop or trainer.global_step - self._saved_step >= self.every:
            self._save(trainer, stop)

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Saves after a validation within an epoch, so that its metrics belong to the checkpoint."""
        loop = trainer.fit_loop.epoch_loop
        if trainer.state.fn != "fit" or trainer.sanity_checking or loop.batch_progress.is_last_batch:
            return
        if not loop._should_accumulate():
            self._save(trainer, self._must_stop())

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Saves after the epoch and its validation."""
        self._save(trainer, self._must_stop())

    def _note_signal(self, signum: int, frame: Any) -> None:
        """Handles a signal; the run ends after its next complete step."""
        self._signal = signum

    def _must_stop(self, agree: bool = True) -> int:
        """Returns the signal that any rank has received, or 0; all ranks must call it at the same time."""
        if world_size() == 1:
            return self._signal
        if not agree:
            return 0
        device = "cuda" if dist.get_backend() == "nccl" else "cpu"
        received = torch.tensor(self._signal, device=device)
        dist.all_reduce(received, dist.ReduceOp.MAX)
        return int(received)

    def _save(self, trainer: L.Trainer, stop: int) -> None:
        """Saves, then ends the run if a signal asked for it."""
        if self.path is not None:
            trainer.save_checkpoint(self.path)
            self._saved_step = trainer.global_step
        if stop:
            raise Stopped(stop, trainer.global_step)
