"""The checks before a run goes on: can its checkpoint be read, and does it fit the settings of now?"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import lightning.pytorch as L
import torch
import yaml

from mmcontrast.errors import InputError, summarize

if TYPE_CHECKING:
    from mmcontrast.train.learner import Learner

_ENTRIES = {
    "state_dict": dict,
    "optimizer_states": list,
    "loops": dict,
    "callbacks": dict,
    "epoch": int,
    "global_step": int,
}


def check_resume(checkpoint: Path, learner: "Learner", trainer: L.Trainer, config: dict[str, Any]) -> list[str]:
    """Checks that a run can go on, before anything of it is changed.

    Args:
        checkpoint: The run's ``last.ckpt``.
        learner: Built with the settings of now.
        trainer: Built with the settings of now.
        config: The settings of now, to be compared with ``config.yaml`` beside the checkpoint.

    Returns:
        The settings that have changed, such as "model.lr 0.1 -> 0.2".

    Raises:
        InputError: The checkpoint is damaged or does not fit.
    """
    state = read_checkpoint(checkpoint)
    _check_length(checkpoint, state, trainer)
    saved = _read_config(checkpoint.with_name("config.yaml"))
    optimizer = saved.get("model.optimizer", learner.optimizer)
    if optimizer != learner.optimizer:
        raise InputError(
            f"{checkpoint.parent} was trained with the optimizer {optimizer} and cannot go on with "
            f"{learner.optimizer}; give --model.optimizer={optimizer}, or another --out"
        )
    _check_weights(checkpoint, state, learner)
    now = flatten(config)
    missing = object()
    changed = [key for key in now if key in saved and saved.get(key, missing) != now[key]]
    return [f"{key} {saved[key]} -> {now[key]}" for key in changed]


def read_checkpoint(checkpoint: Path) -> dict[str, Any]:
    """Reads a checkpoint of a run, with its tensors left on the disk.

    Raises:
        InputError: It is damaged, or not of a run.
    """
    try:
        state = torch.load(checkpoint, map_location="cpu", weights_only=True, mmap=True)
    except Exception as error:
        raise InputError(
            f"{checkpoint} is damaged and cannot be read ({summarize(error, 100)}); put a copy in its place, or start "
            f"again with --overwrite"
        ) from error
    entries = state if isinstance(state, dict) else {}
    wrong = [name for name, kind in _ENTRIES.items() if not isinstance(entries.get(name), kind)]
    if wrong:
        raise InputError(
            f"{checkpoint} is no checkpoint of a training run (it lacks {', '.join(wrong)}); start again with "
            f"--overwrite"
        )
    return dict(state)


def flatten(value: Any, prefix: str = "") -> dict[str, Any]:
    """Returns the values of nested dictionaries by dotted paths, with tuples as lists.

    >>> flatten({"model": {"lr": 0.1, "betas": (0.9, 0.99)}})
    {'model.lr': 0.1, 'model.betas': [0.9, 0.99]}
    """
    if isinstance(value, dict):
        return {k: v for key, part in value.items() for k, v in flatten(part, f"{prefix}{key}.").items()}
    return {prefix[:-1]: list(value) if isinstance(value, tuple) else value}


def _read_config(path: Path) -> dict[str, Any]:
    """Returns the settings of the run by dotted paths; none if its config is gone."""
    try:
        return flatten(yaml.safe_load(path.read_text(encoding="utf-8")) or {})
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(
            f"{path} is damaged and cannot be read ({summarize(error, 100)}); mend or remove it"
        ) from error


def _check_length(checkpoint: Path, state: dict[str, Any], trainer: L.Trainer) -> None:
    """Refuses a run that is to be shorter than what it has done."""
    epochs, steps = trainer.max_epochs, trainer.max_steps
    if epochs is not None and 0 <= epochs <= state["epoch"]:
        raise InputError(
            f"{checkpoint.parent} is in epoch {state['epoch'] + 1} and cannot go on to epoch {epochs}; give "
            f"more --epochs"
        )
    if 0 <= steps < state["global_step"]:
        raise InputError(
            f"{checkpoint.parent} has done {state['global_step']} steps and cannot go on to step {steps}; give more "
            f"--trainer.max_steps"
        )


def _check_weights(checkpoint: Path, state: dict[str, Any], learner: "Learner") -> None:
    """Refuses weights of other names or shapes, and an optimizer that moves other parameters."""
    own, weights = learner.state_dict(), state["state_dict"]
    names = sorted(own.keys() ^ weights.keys())
    names += [name for name in own.keys() & weights.keys() if own[name].shape != getattr(weights[name], "shape", None)]
    if names:
        raise InputError(
            f"{checkpoint.parent} was trained with another network than this ({len(names)} of its tensors differ, such "
            f"as {names[0]}); give the settings of its config.yaml, or another --out"
        )
    groups = [len(group["params"]) for group in learner.parameter_groups()]
    before = [len(group["params"]) for group in state["optimizer_states"][0].get("param_groups", [])]
    if groups != before:
        raise InputError(
            f"{checkpoint.parent} has trained {sum(before)} tensors in {len(before)} groups, and these settings train "
            f"{sum(groups)} in {len(groups)}; give the trainable_layers, layer_decay and lr_scale of its config.yaml"
        )
