"""Representations learned without labels and put to work: image-text, pixel-to-pixel and through time."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mmcontrast.load import load as load
    from mmcontrast.methods.clip import CLIP as CLIP
    from mmcontrast.predict.zero_shot import ZeroShotClassifier as ZeroShotClassifier

__version__ = "0.1.0"

# Public name -> module that defines it.  Imported at first use, so that `import mmcontrast` and `--help` stay instant.
_PUBLIC = {
    "load": "mmcontrast.load",
    "CLIP": "mmcontrast.methods.clip",
    "ZeroShotClassifier": "mmcontrast.predict.zero_shot",
}
__all__ = list(_PUBLIC)


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'mmcontrast' has no attribute {name!r}; it has {', '.join(sorted(_PUBLIC))}")
    return getattr(importlib.import_module(_PUBLIC[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_PUBLIC])
