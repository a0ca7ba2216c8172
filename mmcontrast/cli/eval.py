"""``mmcontrast eval``: one command per evaluation."""

from typing import ClassVar

from mmcontrast.cli.commands import LazyGroup


class Eval(LazyGroup):
    """Measure a model on labeled data.

    Each evaluation prints its figures as JSON.
    """

    targets: ClassVar[dict[str, str]] = {
        "knn": "eval_classification:knn",
        "probe": "eval_classification:probe",
        "few-label": "eval_classification:few_label",
        "segment": "eval_segmentation:segment",
        "sound-probe": "eval_sound:sound_probe",
        "zero-shot": "eval_image_text:zero_shot",
        "retrieval": "eval_image_text:retrieval",
        "davis": "eval_video:davis",
        "keypoints": "eval_video:keypoints",
        "dense": "eval_dense:dense",
        "correspondence": "eval_dense:correspondence",
        "colorize": "eval_colorization:colorize",
    }
