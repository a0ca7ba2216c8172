"""One run of the trainer in its run directory, from the command line and from Python alike."""

import os
import sys
from pathlib import Path
from typing import Any

import lightning.pytorch as L
import yaml

from mmcontrast.train.data import Data
from mmcontrast.train.errors import Stopped, replacing
from mmcontrast.train.learner import Learner
from mmcontrast.train.metrics import MetricsCSV
from mmcontrast.train.resume import check_resume


class SaveConfig(L.Callback):
    """Writes ``config.yaml`` when training begins, after a resumed run has been restored.

    Args:
        folder: Run directory.
        config: Settings of the run.
        changes: Settings that differ from the run's earlier ones; they are added to ``changes.txt``.
    """

    def __init__(self, folder: Path, config: dict[str, Any], changes: list[str]) -> None:
        self.folder, self.config, self.changes = folder, config, changes

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Writes on the first rank."""
        if not trainer.is_global_zero:
            return
        path, part = self.folder / "config.yaml", self.folder / ".config.yaml.part"
        with replacing(path, part):
            part.write_text(yaml.safe_dump(self.config, sort_keys=False), encoding="utf-8")
            os.replace(part, path)
            if self.changes:
                with (self.folder / "changes.txt").open("a", encoding="utf-8") as file:
                    file.writelines(f"step {trainer.global_step}: {change}\n" for change in self.changes)
        if self.changes:
            print(f"going on with {', '.join(self.changes)}", file=sys.stderr)


def run_trainer(
    trainer: L.Trainer,
    learner: Learner,
    data: Data,
    folder: Path | None,
    checkpoint: Path | None,
    config: dict[str, Any] | None,
) -> int:
    """Trains until the end, or until a signal.

    Args:
        trainer: Built by ``run_directory.trainer_arguments``.
        learner: What to train.
        data: What to train on.
        folder: Run directory; None: nothing is written.
        checkpoint: The checkpoint to go on from; None begins at step 0.
        config: What config.yaml will hold; None leaves it out.

    Returns:
        0; 130 after Ctrl-C; 143 after SIGTERM.

    Raises:
        InputError: The checkpoint cannot be gone on from.
        TrainingError: Training failed.
    """
    if folder is not None and checkpoint is not None and (folder / "metrics.csv").exists():
        MetricsCSV(folder).read()
    changes = check_resume(checkpoint, learner, trainer, config or {}) if checkpoint is not None else []
    if folder is not None and config is not None:
        trainer.callbacks.insert(  # type: ignore[attr-defined]  # set by a connector
            0, SaveConfig(folder, config, changes)
        )
    again = f"go on with: mmcontrast fit --resume --out {folder}"
    try:
        trainer.fit(learner, data, ckpt_path=checkpoint, weights_only=True)
    except Stopped as stop:
        if trainer.is_global_zero:
            print(
                f"mmcontrast: stopped by {stop.signal} after step {stop.step}, which is saved; {again}", file=sys.stderr
            )
        return int(stop.code or 0)
    except SystemExit:  # Lightning ends so after Ctrl-C
        if trainer.state.status != "interrupted":
            raise
        saved = folder is not None and (folder / "last.ckpt").exists()
        if trainer.is_global_zero:
            print(
                f"mmcontrast: interrupted at step {trainer.global_step}{f'; {again}' if saved else ''}", file=sys.stderr
            )
        return 130
    return 0
