"""A run directory, and the trainer that fills it: config.yaml, last.ckpt, metrics.csv, loss.png."""

import contextlib
import logging
import os
import socket
import sys
import tempfile
import warnings
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from lightning.fabric.utilities.warnings import PossibleUserWarning
from lightning.pytorch.loggers import Logger

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
_LOCK = ".lock"
_FILES = ("last.ckpt", "metrics.csv", "loss.png", "config.yaml", "changes.txt")


@contextlib.contextmanager
def open_run_directory(folder: Path | None, resume: bool, overwrite: bool) -> Iterator[Path | None]:
    """Makes a run directory ready and holds its lock while the context lasts.

    Args:
        folder: The directory; None: nothing is written.
        resume: Whether to go on from its last checkpoint.
        overwrite: Whether to remove an earlier run.

    Yields:
        The checkpoint to go on from; None for a new run.

    Raises:
        InputError: The directory cannot be written, another process uses it, or it holds a run and neither ``resume``
            nor ``overwrite`` says what to do with it.
    """
    if folder is None:
        if resume or overwrite:
            raise InputError("out is None, so that there is no run to resume or overwrite; give out a directory")
        yield None
        return
    last = folder / "last.ckpt"
    if last.exists() and not resume and not overwrite:
        raise InputError(
            f"{folder} already holds a run. Go on with --resume, start again with --overwrite, or choose another --out"
        )
    if world_rank() != 0:
        yield last if resume and last.exists() else None
        return
    _check_writable(folder)
    with _locked(folder):
        for leftover in [*folder.glob(".last.ckpt.*.part"), *folder.glob("*.part")]:
            leftover.unlink(missing_ok=True)
        if resume and last.exists():
            yield last
            return
        if resume:
            print(f"{folder} has no last.ckpt to resume: starting anew", file=sys.stderr)
        for name in _FILES:
            (folder / name).unlink(missing_ok=True)
        yield None


def restarted_by_slurm(folder: Path) -> bool:
    """Returns whether SLURM runs the job again after a preemption, and the run in ``folder`` is to go on."""
    return int(os.environ.get("SLURM_RESTART_COUNT") or 0) > 0 and (folder / "last.ckpt").exists()


def trainer_arguments(folder: Path | None, arguments: dict[str, Any], save_every: int = 1000) -> dict[str, Any]:
    """Completes the arguments of Lightning's Trainer with what every run has.

    Args:
        folder: Run directory; None: nothing is written.
        arguments: What the user gave.
        save_every: Optimizer steps between checkpoints within an epoch.

    Returns:
        Arguments with loggers, callbacks and plugins added.
    """
    callbacks = _as_list(arguments.get("callbacks"))
    plugins = [*_as_list(arguments.get("plugins")), AtomicCheckpointIO()]
    loggers: list[Logger] = []
    if folder is not None:
        metrics = MetricsCSV(folder)
        loggers = [metrics, *_loggers(folder, arguments.get("logger"))]
        callbacks += [Curves(metrics), LastCheckpoint(folder / "last.ckpt", save_every)]
    elif arguments.get("logger") not in (None, True, False):
        loggers = _as_list(arguments["logger"])
    if not any(isinstance(callback, CollapseWatch) for callback in callbacks):
        callbacks.append(CollapseWatch())
    if arguments.get("enable_progress_bar") is not False:
        callbacks.append(Progress())
    if SLURMEnvironment.detect() and not any(isinstance(plugin, SLURMEnvironment) for plugin in plugins):
        plugins.append(SLURMEnvironment(auto_requeue=False))  # SIGTERM saves, and the restarted job resumes
    own = {
        "logger": loggers or False,
        "callbacks": callbacks,
        "plugins": plugins,
        "enable_checkpointing": folder is not None,
    }
    return arguments | own | {"default_root_dir": str(folder) if folder is not None else tempfile.gettempdir()}


@contextlib.contextmanager
def quiet_lightning() -> Iterator[None]:
    """Hides Lightning's advertisements and guesses; errors and real warnings pass."""
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


def _check_writable(folder: Path) -> None:
    """Makes the directory and writes a file in it for a moment.

    Raises:
        InputError: That fails.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise InputError(f"--out {folder} cannot be written ({error.strerror}); choose another directory") from error


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Holds the directory's lock, which ends with the process; does nothing where the system has no such locks."""
    try:
        import fcntl
    except ImportError:  # Windows
        yield
        return
    with (folder / _LOCK).open("ab+", buffering=0) as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            owner = file.read().decode("utf-8", "replace").strip() or "another process"
            raise InputError(f"{folder} is in use by {owner}; wait for it, or choose another --out") from None
        except OSError:  # a file system without locks
            yield
            return
        file.truncate(0)
        with contextlib.suppress(OSError):  # the lock holds on a full disk too, without the name of its owner
            file.write(f"process {os.getpid()} on {socket.gethostname()}".encode())
        try:
            yield
        finally:
            (folder / _LOCK).unlink(missing_ok=True)


def _loggers(folder: Path, value: Any) -> list[Logger]:
    """Returns the loggers beside metrics.csv: the user's own, or TensorBoard where it is installed."""
    if value not in (None, True, False):
        return _as_list(value)
    if value is False or not find_spec("tensorboard"):
        return []
    from lightning.pytorch.loggers import TensorBoardLogger

    return [TensorBoardLogger(folder, name="", version="tensorboard")]


def _as_list(value: Any) -> list[Any]:
    """Returns a list of what is None, one thing, or several."""
    return [] if value is None else list(value) if isinstance(value, list | tuple) else [value]
