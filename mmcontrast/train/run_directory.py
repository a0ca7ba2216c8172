"""A run directory, and the trainer that fills it: config.yaml, last.ckpt, metrics.csv, loss.png."""

import contextlib
import logging
import warnings
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities import rank_zero_only
from lightning.pytorch.utilities.warnings import PossibleUserWarning

from mmcontrast.errors import InputError
from mmcontrast.train.checkpoint import AtomicCheckpointIO, LastCheckpoint
from mmcontrast.train.collapse import CollapseWatch
from mmcontrast.train.metrics import Curves, MetricsCSV, world_rank
from mmcontrast.train.progress import Progress

# Lightning's defaults that the Learner and the Data module need otherwise.
TRAINER_DEFAULTS: dict[str, Any] = {
    "max_epochs": 10,
    "use_distributed_sampler": False,
    "enable_model_summary": False,
    "log_every_n_steps": 1,
}


def open_run_directory(folder: Path, resume: bool, overwrite: bool) -> Path | None:
    """Makes a run directory ready.

    Returns:
        The checkpoint to go on from; None: a new run.
    Raises:
        InputError: the directory holds a run, and neither ``resume`` nor ``overwrite`` says what to do with it.
    """
    last = folder / "last.ckpt"
    if resume:
        if last.exists():
            return last
        _say(f"{folder} has no last.ckpt to resume: starting anew")
    elif last.exists() and not overwrite:
        raise InputError(
            f"{folder} already holds a run. Go on with --resume, start again with --overwrite, or choose another place "
            f"with --run-dir DIR"
        )
    if world_rank() == 0:
        stale = ("last.ckpt", "metrics.csv", "loss.png", "config.yaml")
        for path in [*(folder / name for name in stale), *folder.glob(".last.ckpt.*.part")]:
            path.unlink(missing_ok=True)
        folder.mkdir(parents=True, exist_ok=True)
    return None


def trainer_arguments(folder: Path, arguments: dict[str, Any], save_every: int = 1000) -> dict[str, Any]:
    """Lightning's Trainer arguments, completed with what every run has."""
    metrics = MetricsCSV(folder)
    given = arguments.get("logger")
    loggers: list[Logger] = [metrics, *_as_list(given)] if given not in (None, True, False) else [metrics]
    if given in (None, True) and find_spec("tensorboard"):
        from lightning.pytorch.loggers import TensorBoardLogger

        loggers.append(TensorBoardLogger(folder, name="", version="tensorboard"))
    callbacks = [
        *_as_list(arguments.get("callbacks")),
        Curves(metrics),
        LastCheckpoint(folder / "last.ckpt", save_every),
    ]
    if not any(isinstance(callback, CollapseWatch) for callback in callbacks):
        callbacks.append(CollapseWatch())
    if arguments.get("enable_progress_bar") is not False:
        callbacks.append(Progress())
    plugins = [*_as_list(arguments.get("plugins")), AtomicCheckpointIO()]
    return arguments | {
        "logger": loggers,
        "callbacks": callbacks,
        "plugins": plugins,
        "default_root_dir": str(folder),
    }


@contextlib.contextmanager
def quiet_lightning() -> Iterator[None]:
    """Leaves out Lightning's advertisements and guesses; errors and real warnings pass."""
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", category=PossibleUserWarning)
            warnings.filterwarnings("ignore", message="Total length of `list` across ranks is zero")  # no data.val
            warnings.filterwarnings("ignore", category=FutureWarning, module="lightning")
            warnings.filterwarnings("ignore", category=DeprecationWarning, module="lightning")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _as_list(value: Any) -> list[Any]:
    return [] if value is None else list(value) if isinstance(value, list | tuple) else [value]


@rank_zero_only
def _say(text: str) -> None:
    import sys

    print(text, file=sys.stderr)
