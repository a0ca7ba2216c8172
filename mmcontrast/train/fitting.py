"""Training from Python: one call, the same run directory as ``mmcontrast fit``."""

import difflib
import inspect
from pathlib import Path
from typing import Any

import lightning.pytorch as L
import yaml
from torch.utils.data import Dataset

from mmcontrast.configurable import Configurable, config_of
from mmcontrast.errors import InputError
from mmcontrast.methods.base import Method
from mmcontrast.train.cpu import startup_frozen, tune_cpu
from mmcontrast.train.data import Data
from mmcontrast.train.learner import Learner
from mmcontrast.train.metrics import world_rank
from mmcontrast.train.run_directory import TRAINER_DEFAULTS, open_run_directory, quiet_lightning, trainer_arguments


def fit(
    method: Method,
    data: Dataset | Data,
    run_dir: str | Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    save_every: int = 1000,
    seed: int = 0,
    **options: Any,
) -> L.Trainer:
    """Trains a method in place.

    Args:
        method: what to train.
        data: a training set, or a ``Data`` module of your own.
        run_dir: where everything goes; None: runs/ and the method's class name in lower case.
        resume: go on from the run's last checkpoint.
        overwrite: start again in a directory that holds a run.
        save_every: optimizer steps between checkpoints within an epoch.
        seed: of order, augmentation and dropout (weights are what they are).
        **options: arguments of ``Learner`` (lr, optimizer, ...), ``Data`` (val, augment, batch_size, ...) and
            Lightning's ``Trainer`` (max_epochs, devices, precision, callbacks, ...), each by its own name.
    Returns:
        The trainer that ran; the method has its trained weights and is in evaluation mode.
    Raises:
        InputError: an option that none of the three knows, or a directory that already holds a run.
    """
    for_learner = _take(Learner, options)
    for_data = _take(Data, options)
    for_trainer = _take(L.Trainer, options)
    if options:
        known = [*_names(Learner), *_names(Data), *_names(L.Trainer)]
        hints = [f"{name} (did you mean {', '.join(difflib.get_close_matches(name, known, 1))}?)" for name in options]
        raise InputError(f"fit does not know {', '.join(hints)}".replace(" (did you mean ?)", ""))
    if isinstance(data, Data) and for_data:
        raise InputError(f"give {', '.join(for_data)} to Data(...) itself, since data is a Data module already")
    folder = Path(run_dir) if run_dir else Path("runs") / type(method).__name__.lower()
    learner = Learner(method, **for_learner, seed=seed)
    module = data if isinstance(data, Data) else Data(data, **for_data, seed=seed)
    with quiet_lightning():
        tune_cpu()
        checkpoint = open_run_directory(folder, resume, overwrite)
        if isinstance(method, Configurable) and world_rank() == 0:
            config = {"seed_everything": seed, "model": {"method": config_of(method), **for_learner}}
            (folder / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
        trainer = L.Trainer(**trainer_arguments(folder, TRAINER_DEFAULTS | for_trainer, save_every))
        with startup_frozen():
            trainer.fit(learner, module, ckpt_path=checkpoint, weights_only=True)
    method.eval()
    return trainer


def _names(made: type) -> list[str]:
    given = ("method", "train", "seed")
    return [name for name in inspect.signature(made).parameters if name not in given]


def _take(made: type, options: dict[str, Any]) -> dict[str, Any]:
    return {name: options.pop(name) for name in _names(made) if name in options}
