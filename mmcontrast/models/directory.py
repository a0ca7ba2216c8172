"""Methods from directories: those that ``fit`` writes (config.yaml, last.ckpt) and exported ones."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from mmcontrast.errors import InputError, summarize
from mmcontrast.methods.base import Method
from mmcontrast.models.building import build, no_requests, without_weights
from mmcontrast.models.config_file import read_config


def from_directory(folder: Path, overrides: dict[str, Any], trust: Iterable[str] = ()) -> Method:
    """Loads the method of a run directory or of an exported one, with its weights.

    Args:
        folder: A directory with config.yaml, and model.safetensors or last.ckpt.
        overrides: Arguments of the method's constructor that replace those of the config.
        trust: Packages whose registered classes may be built too.

    Returns:
        The method.

    Raises:
        InputError: A file is missing or damaged, or the weights do not fit the config.
    """
    method = untrained_from_directory(folder, overrides, trust)
    _fill(method, read_weights(folder), folder)
    return method


def untrained_from_directory(folder: Path, overrides: dict[str, Any], trust: Iterable[str] = ()) -> Method:
    """Builds the method that the config of a directory describes, without its weights; see ``from_directory``."""
    path = folder / "config.yaml"
    if not path.is_file():
        raise InputError(f"{folder} has no config.yaml; give a directory written by `mmcontrast fit` or `export`.")
    config = read_config(path)
    model = config.get("model")
    node = model.get("method") if isinstance(model, dict) else None
    if not isinstance(node, dict) or "class_path" not in node:
        raise InputError(f"{path} has no model.method with a class_path and init_args.")
    exported = (folder / "model.safetensors").is_file()
    try:
        with no_requests():
            node = without_weights(node, folder if exported else None, trust)
            method = build({**node, "init_args": node["init_args"] | overrides}, trust)
    except RecursionError as error:
        raise InputError(f"{path} is nested too deep.") from error
    if not isinstance(method, Method):
        raise InputError(f"{path} describes a {type(method).__name__}; wanted a method.")
    return method


def read_weights(folder: Path) -> dict[str, Tensor]:
    """Reads the weights of a method from an exported directory or a run directory; nothing is unpickled.

    Args:
        folder: A directory with model.safetensors or last.ckpt.

    Returns:
        The state dict of the method.

    Raises:
        InputError: There is no such file, it is damaged, or it holds more than tensors.
    """
    exported, checkpoint = folder / "model.safetensors", folder / "last.ckpt"
    if not (exported.is_file() or checkpoint.is_file()):
        raise InputError(f"{folder} has neither model.safetensors nor last.ckpt.")
    try:
        if exported.is_file():
            return load_file(exported)
        content = torch.load(checkpoint, map_location="cpu", weights_only=True)
    except Exception as error:  # damaged files raise errors of many kinds
        reason = summarize(error)
        raise InputError(f"The weights in {folder} are damaged, or hold more than tensors: {reason}.") from error
    state = content.get("state_dict") if isinstance(content, dict) else None
    if not isinstance(state, dict):
        raise InputError(f"{checkpoint} has no state_dict; wanted a checkpoint written by `mmcontrast fit`.")
    state = {str(key).removeprefix("method."): v for key, v in state.items() if str(key).startswith("method.")}
    if odd := next((key for key, value in state.items() if type(value) is not Tensor), None):
        raise InputError(f"{checkpoint} holds a {type(state[odd]).__name__} as {odd}; wanted a tensor.")
    return state


def _fill(method: Method, state: dict[str, Tensor], folder: Path) -> None:
    """Loads a state dict whose keys, shapes and kinds of numbers must all be those of the method."""
    own = method.state_dict()
    both = own.keys() & state.keys()
    problems = {
        "lacking": own.keys() - state.keys(),
        "too many": state.keys() - own.keys(),
        "of another shape": {k for k in both if own[k].shape != state[k].shape},
        "of another type": {k for k in both if own[k].is_floating_point() != state[k].is_floating_point()},
        "not dense tensors in memory": {k for k in both if state[k].layout != torch.strided or state[k].is_meta},
    }
    texts = [f"{what}: {', '.join(sorted(keys)[:3])} ({len(keys)} in all)" for what, keys in problems.items() if keys]
    if texts:
        raise InputError(f"The weights in {folder} do not fit its config.yaml. {'; '.join(texts)}")
    method.load_state_dict(state)
