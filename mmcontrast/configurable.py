"""Objects that remember the arguments of their constructor, so that they can be saved as YAML and built again."""

import inspect
from pathlib import Path
from typing import Any, Self


class Configurable:
    """An object that records the arguments of its constructor.

    Attributes:
        init_args: Each argument that the caller gave, by its name.
    """

    init_args: dict[str, Any]

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """Returns a new object whose ``init_args`` are set."""
        self = super().__new__(cls)
        bound = inspect.signature(cls.__init__).bind_partial(self, *args, **kwargs)
        self.__dict__["init_args"] = dict(list(bound.arguments.items())[1:])
        return self


def config_of(value: Any) -> Any:
    """Converts configurable objects, also those in lists, tuples and dictionaries, to plain values for YAML.

    Args:
        value: Any value. A path becomes a string; values of other types are returned unchanged.

    Returns:
        For a configurable object ``{"class_path": ..., "init_args": {...}}``.

    >>> from mmcontrast.encoders import TinyConv
    >>> config_of(TinyConv(8))
    {'class_path': 'mmcontrast.encoders.tiny.TinyConv', 'init_args': {'dim': 8}}
    """
    if isinstance(value, Configurable):
        class_path = f"{type(value).__module__}.{type(value).__qualname__}"
        return {"class_path": class_path, "init_args": {k: config_of(v) for k, v in value.init_args.items()}}
    if isinstance(value, dict):
        return {k: config_of(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [config_of(v) for v in value]
    return str(value) if isinstance(value, Path) else value
