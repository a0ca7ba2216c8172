"""Objects that remember how they were built, so that what Python made can be saved as YAML and built again."""

import inspect
from pathlib import Path
from typing import Any, Self


class Configurable:
    """Records the arguments of its constructor in ``init_args``."""

    init_args: dict[str, Any]

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:  # noqa: D102
        self = super().__new__(cls)
        bound = inspect.signature(cls.__init__).bind_partial(self, *args, **kwargs)
        self.__dict__["init_args"] = dict(list(bound.arguments.items())[1:])
        return self


def config_of(value: Any) -> Any:
    """A configurable object -> ``{"class_path": ..., "init_args": {...}}``, through containers; other values stay."""
    if isinstance(value, Configurable):
        class_path = f"{type(value).__module__}.{type(value).__qualname__}"
        return {"class_path": class_path, "init_args": {k: config_of(v) for k, v in value.init_args.items()}}
    if isinstance(value, dict):
        return {k: config_of(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [config_of(v) for v in value]
    return str(value) if isinstance(value, Path) else value
