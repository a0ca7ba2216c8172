"""Builds methods and encoders from the nodes of a config; a config can neither import code nor reach the network."""

import inspect
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from huggingface_hub import constants

from mmcontrast.configurable import Configurable
from mmcontrast.errors import InputError
from mmcontrast.models.registry import construct, find_class

_offline_lock = threading.RLock()


def build(node: dict[str, Any], trust: Iterable[str] = ()) -> Configurable:
    """Builds the object that a node of a config describes, its arguments first.

    Args:
        node: ``{"class_path": ..., "init_args": {...}}``; an argument may be such a node or a list of them.
        trust: Packages whose registered classes may be built too.

    Returns:
        The method or encoder.

    Raises:
        InputError: The class or its arguments are not allowed.

    >>> build({"class_path": "TinyConv", "init_args": {"dim": 8}}).dim
    8
    """
    arguments = {name: _build_value(value, trust) for name, value in _arguments(node).items()}
    return construct(find_class(node["class_path"], trust), arguments)


def without_weights(node: dict[str, Any], folder: Path | None, trust: Iterable[str] = ()) -> dict[str, Any]:
    """Returns a copy of a node that fetches no initial weights, since trained ones follow.

    Args:
        node: A node of a config.
        folder: The exported directory that paths beginning with "./" are relative to, or None.
        trust: Packages whose registered classes may be built too.

    Returns:
        The node with ``pretrained`` and ``weights`` switched off, and absolute paths.
    """
    parameters = inspect.signature(find_class(node["class_path"], trust).__init__).parameters
    off = {name: value for name, value in {"pretrained": False, "weights": None}.items() if name in parameters}
    arguments = {name: _ready(value, folder, trust) for name, value in _arguments(node).items()}
    return {"class_path": node["class_path"], "init_args": arguments | off}


@contextmanager
def no_requests() -> Iterator[None]:
    """Makes the libraries of the Hugging Face hub use their local cache only; one thread at a time may do this."""
    with _offline_lock:
        before = constants.HF_HUB_OFFLINE
        constants.HF_HUB_OFFLINE = True
        try:
            yield
        finally:
            constants.HF_HUB_OFFLINE = before


def _arguments(node: dict[str, Any]) -> dict[str, Any]:
    arguments = node.get("init_args") or {}
    if not (isinstance(arguments, dict) and all(isinstance(name, str) for name in arguments)):
        raise InputError(f"The init_args of {node['class_path']} are {arguments!r:.80}; wanted a mapping of names.")
    return arguments


def _build_value(value: Any, trust: Iterable[str]) -> Any:
    if isinstance(value, list):
        return [_build_value(item, trust) for item in value]
    return build(value, trust) if _is_node(value) else value


def _ready(value: Any, folder: Path | None, trust: Iterable[str]) -> Any:
    if isinstance(value, list):
        return [_ready(item, folder, trust) for item in value]
    if _is_node(value):
        return without_weights(value, folder, trust)
    relative = folder is not None and isinstance(value, str) and value.startswith("./")
    return str(folder / value) if folder is not None and relative else value


def _is_node(value: Any) -> bool:
    return isinstance(value, dict) and "class_path" in value
