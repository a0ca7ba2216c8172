"""Predictors: a trained model put to work on files, arrays and tensors."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mmcontrast.predict.colorize import Colorizer as Colorizer
    from mmcontrast.predict.features import FeatureExtractor as FeatureExtractor
    from mmcontrast.predict.zero_shot import ZeroShotClassifier as ZeroShotClassifier

# Public name -> module that defines it, imported at first use: the command line's parsers live in this package too.
_PUBLIC = {
    "Colorizer": "mmcontrast.predict.colorize",
    "FeatureExtractor": "mmcontrast.predict.features",
    "ZeroShotClassifier": "mmcontrast.predict.zero_shot",
}
__all__ = list(_PUBLIC)


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_PUBLIC[name]), name)
