"""Training from Python: one call, and the same run directory as ``mmcontrast fit``."""

import difflib
import inspect
from pathlib import Path
from typing import Any

import lightning.pytorch as L
from torch.utils.data import Dataset

from mmcontrast.configurable import Configurable, config_of
from mmcontrast.errors import InputError
from mmcontrast.methods.base import Method
from mmcontrast.train.cpu import startup_frozen
from mmcontrast.train.data import Data
from mmcontrast.train.learner import Learner
from mmcontrast.train.run_directory import TRAINER_DEFAULTS, open_run_directory, quiet_lightning, trainer_arguments
from mmcontrast.train.running import run_trainer


def fit(
    method: Method,
    data: Dataset[Any] | Data | str | Path,
    out: str | Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    save_every: int = 1000,
    seed: int = 0,
    **options: Any,
) -> L.Trainer:
    """Trains a method in place.

    The process is left as it is: the settings of the allocator, by which ``mmcontrast fit`` trains faster on CPUs, are
    in ``mmcontrast.train.cpu.tune_cpu`` for programs that want them.

    Args:
        method: The method to train.
        data: A training set, a path that ``mmcontrast.Images`` reads, or a ``Data`` module.
        out: Run directory; None writes nothing.
        resume: Whether to go on from the run's last checkpoint.
        overwrite: Whether to start again in a directory that holds a run.
        save_every: Optimizer steps between checkpoints within an epoch.
        seed: Seed of order, augmentation and dropout; the weights stay as they are.
        **options: Arguments of ``Learner`` (lr, optimizer, ...), ``Data`` (val, augment, batch_size, ...) and
            Lightning's ``Trainer`` (max_epochs, devices, precision, callbacks, ...), each by its own name.

    Returns:
        The trainer that ran. The method has its trained weights and is in evaluation mode.

    Raises:
        InputError: An option is unknown, the data cannot be used, or the directory already holds a run.
        TrainingError: Training failed.
        KeyboardInterrupt: Ctrl-C ended the run.
        SystemExit: SIGTERM ended the run, with exit code 143.

    >>> import mmcontrast as mmc
    >>> method = mmc.SimCLR(mmc.TinyConv(8), dim=4)
    >>> data = mmc.ToyImages(length=16, size=16)
    >>> trainer = mmc.fit(method, data, augment=mmc.TwoViews(), batch_size=8, workers=0, max_epochs=1,
    ...                   accelerator="cpu", enable_progress_bar=False)
    >>> trainer.global_step
    2
    """
    for_learner, for_data, for_trainer = (_take(cls, options) for cls in (Learner, Data, L.Trainer))
    if options:
        raise InputError(_unknown(options))
    if isinstance(data, Data) and for_data:
        raise InputError(f"give {', '.join(for_data)} to Data(...) itself, since data is a Data module already")
    folder = None if out is None else Path(out)
    learner = Learner(method, **for_learner, seed=seed)
    module = data if isinstance(data, Data) else Data(_dataset(data), **for_data, seed=seed)
    config: dict[str, Any] | None = None
    if isinstance(method, Configurable):
        config = {"seed_everything": seed, "model": {"method": config_of(method), **config_of(for_learner)}}
    with quiet_lightning(), open_run_directory(folder, resume, overwrite) as checkpoint:
        trainer = L.Trainer(**trainer_arguments(folder, TRAINER_DEFAULTS | for_trainer, save_every))
        with startup_frozen():
            code = run_trainer(trainer, learner, module, folder, checkpoint, config)
    if code:
        raise KeyboardInterrupt if code == 130 else SystemExit(code)
    method.eval()
    return trainer


def _dataset(data: Any) -> Any:
    """Returns the training set; a path becomes images."""
    if isinstance(data, str | Path):
        from mmcontrast.data import Images

        return Images(data)
    return data


def _unknown(options: dict[str, Any]) -> str:
    """Returns the sentence about options that nothing takes."""
    known = [*_names(Learner), *_names(Data), *_names(L.Trainer)]
    close = {name: difflib.get_close_matches(name, known, 1) for name in options}
    hints = [f"{name} (did you mean {match[0]}?)" if match else name for name, match in close.items()]
    return f"fit does not know {', '.join(hints)}"


def _names(cls: type) -> list[str]:
    """Returns the constructor arguments that a caller of ``fit`` may give."""
    own = ("method", "train", "seed")
    return [name for name in inspect.signature(cls).parameters if name not in own]


def _take(cls: type, options: dict[str, Any]) -> dict[str, Any]:
    """Moves the options of a class out of all options."""
    return {name: options.pop(name) for name in _names(cls) if name in options}
