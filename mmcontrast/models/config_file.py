"""Reads the config.yaml of a model, which may come from a stranger."""

from pathlib import Path
from typing import Any

import yaml

from mmcontrast.errors import InputError, summarize

_MAX_BYTES = 1 << 20
_MAX_DEPTH = 40
_MAX_VALUES = 20_000


def read_config(path: Path) -> dict[str, Any]:
    """Reads a YAML file of bounded size and depth; nothing in it is run.

    Args:
        path: The file.

    Returns:
        The mapping that the file holds.

    Raises:
        InputError: The file cannot be read, is no YAML mapping, or is too large, too deep or full of aliases.
    """
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise InputError(f"{path} is larger than {_MAX_BYTES >> 20} MiB, which no config of a model is.")
        text = path.read_text(encoding="utf-8")
        _check_depth(path, text)
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        if root is not None:
            _count(path, root, {})
        config = yaml.safe_load(text)
    except (yaml.YAMLError, UnicodeDecodeError, OSError, ValueError, TypeError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path} cannot be read as YAML: {summarize(error)}.") from error
    if not isinstance(config, dict):
        raise InputError(f"{path} holds a {type(config).__name__}; a config is a mapping that begins with `model:`.")
    return config


def _check_depth(path: Path, text: str) -> None:
    """Refuses deep nesting before anything recurses over it."""
    depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > _MAX_DEPTH:
            raise InputError(f"{path} is nested more than {_MAX_DEPTH} levels deep, which no config of a model is.")


def _count(path: Path, node: yaml.Node, counts: dict[int, int]) -> int:
    """Counts the values below a node; a value counts each time an alias repeats it."""
    if id(node) in counts:
        if not counts[id(node)]:
            raise InputError(f"{path} has a value that contains itself, which no config of a model has.")
        return counts[id(node)]
    counts[id(node)] = 0  # it is being counted
    children: list[yaml.Node] = []
    if isinstance(node, yaml.MappingNode):
        children = [child for pair in node.value for child in pair]
    elif isinstance(node, yaml.SequenceNode):
        children = list(node.value)
    counts[id(node)] = 1 + sum(_count(path, child, counts) for child in children)
    if counts[id(node)] > _MAX_VALUES:
        raise InputError(
            f"{path} holds more than {_MAX_VALUES} values (aliases count), which no config of a model does."
        )
    return counts[id(node)]
