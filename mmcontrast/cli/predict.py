"""``mmcontrast predict``: one command per predictor."""

from typing import ClassVar

from mmcontrast.cli.commands import LazyGroup


class Predict(LazyGroup):
    """Use a model on files and folders.

    Tables have one row per input; an input that cannot be read has its reason in the column error.
    """

    targets: ClassVar[dict[str, str]] = {
        "zero-shot": "predict_zero_shot:zero_shot",
        "track": "predict_track:track",
        "match": "predict_match:match",
        "features": "predict_features:features",
        "colorize": "predict_colorize:colorize",
    }
