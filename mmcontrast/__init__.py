"""Representations learned without labels, for images, text, pixels and video.

Every public name of the packages below is available here, for example ``mmcontrast.SimCLR`` or ``mmcontrast.load``. A
name is imported when it is first used, so that ``import mmcontrast`` takes milliseconds.
"""

import importlib
from typing import Any

__version__ = "0.2.0"

_PACKAGES = ("methods", "encoders", "losses", "data", "models", "predict", "train")


def _public_names() -> dict[str, str]:
    """Returns each public name with the package that exports it."""
    packages = {package: importlib.import_module(f"{__name__}.{package}") for package in _PACKAGES}
    return {name: package for package, module in packages.items() for name in module.__all__}


def __getattr__(name: str) -> Any:
    if name.startswith("_") and name != "__all__":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    names = _public_names()
    if name == "__all__":
        return sorted(names)
    if name not in names:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; its names are {', '.join(sorted(names))}")
    return getattr(importlib.import_module(f"{__name__}.{names[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_public_names()])
