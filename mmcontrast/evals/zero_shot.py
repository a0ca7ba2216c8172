"""Zero-shot classification accuracy (CLIP, 2103.00020, section 3.1)."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mmcontrast.data.datasets.images import Images
from mmcontrast.data.datasets.prompt_templates import read_classnames
from mmcontrast.errors import InputError
from mmcontrast.evals.confusion import confusion
from mmcontrast.evals.ranking import topk_hits
from mmcontrast.inference.extract import evaluating, extract
from mmcontrast.inference.image_batches import preprocessing
from mmcontrast.inference.prompts import PromptSet, Templates, embed_prompts
from mmcontrast.methods.clip import CLIP
from mmcontrast.viz.confusion import draw_confusion


def zero_shot(
    method: CLIP,
    data: str | Path | Images,
    classnames: str | Path | Sequence[str] | None = None,
    templates: Templates = "simple",
    batch_size: int = 64,
    cache: bool | Path = False,
    progress: bool = False,
    confusion_png: Path | None = None,
) -> dict[str, Any]:
    """Share of images whose class name the model finds.

    The method is evaluated where it lies and is left in the mode it was in, so this also serves during training.

    Args:
        method: a ``CLIP``.
        data: labeled images: a folder of class folders, shards with KEY.cls, or a data set.
        classnames: names in label order, or a file with one a line; None: those of the data, underscores as spaces.
        templates: "simple", "openai80", a file, or sentences with ``{}``.
        batch_size: images encoded at once.
        cache: True keeps features and label vectors in the user's cache folder; or a folder of your own.
        progress: show a bar on a terminal's stderr.
        confusion_png: where to draw the confusion matrix.
    Returns:
        ``top1`` and ``top5`` in [0, 1] (ties count as a random order would have them), ``per_class`` {name: top1, None
        where there is no image}, ``n`` images read, ``unreadable`` images left out.
    Raises:
        InputError: without labels or class names, or with fewer names than labels.
    """
    if isinstance(data, Images):
        images = data
    else:
        images = Images(data, classnames=classnames, **preprocessing(method.encoder))
        classnames = None
    classes = _class_names(images, classnames)
    prompts = PromptSet([name.replace("_", " ") for name in classes], templates)
    with evaluating(method):
        vectors = embed_prompts(method, prompts, method.log_scale.device, cache).cpu()  # (C, D)
    features = extract(method, method.embed_image, images, batch_size, cache, progress)
    if not len(features.vectors):
        raise InputError(f"none of the {len(images)} images can be read; the first is {features.unreadable[0]}")
    target = torch.from_numpy(images.labels)[features.places]  # (N,)
    blocks = [_score(*block, vectors) for block in zip(features.vectors.split(4096), target.split(4096), strict=True)]
    top1, top5, predicted = (torch.cat(part) for part in zip(*blocks, strict=True))  # (N,) each
    counts = torch.bincount(target, minlength=len(classes))
    per_class = torch.bincount(target, top1, minlength=len(classes)) / counts
    result = {
        "top1": top1.mean().item(),
        "top5": top5.mean().item(),
        "per_class": {
            name: share if count else None
            for name, share, count in zip(classes, per_class.tolist(), counts.tolist(), strict=True)
        },
        "n": len(target),
        "unreadable": len(features.unreadable),
    }
    if confusion_png:
        title = f"Zero-shot: {result['top1']:.1%} of {len(target)} images right"
        draw_confusion(confusion(target, predicted, len(classes)), classes, confusion_png, title)
    return result


def _score(vectors: Tensor, target: Tensor, classes: Tensor) -> tuple[Tensor, ...]:
    """(N, D) images, (N,) right classes, (C, D) classes -> chances of a hit in the first 1 and 5, and predictions."""
    scores = vectors @ classes.T  # (N, C)
    return topk_hits(scores, target, 1), topk_hits(scores, target, 5), scores.argmax(1)


def _class_names(images: Images, classnames: str | Path | Sequence[str] | None) -> list[str]:
    names = read_classnames(classnames) if isinstance(classnames, str | Path) else classnames
    if names is None:
        names = images.classes
        if all(name.isdigit() for name in names):
            raise InputError(f"the {len(names)} classes have numbers and no names; give --classnames, one name a line")
    elif isinstance(names, dict):
        names = [names.get(folder, folder) for folder in images.classes]
    if len(names) <= images.labels.max():
        raise InputError(f"{len(names)} class names, but the labels go up to {images.labels.max()}")
    return list(names)
