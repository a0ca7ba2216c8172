"""Zero-shot classification accuracy (CLIP, 2103.00020, section 3.1)."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from mmcontrast.data.datasets.class_names import match_class_names
from mmcontrast.data.datasets.images import Images
from mmcontrast.data.datasets.prompt_templates import read_classnames
from mmcontrast.errors import InputError
from mmcontrast.evals.labeled_features import labeled_indices
from mmcontrast.evals.ranking import topk_hits
from mmcontrast.evals.results import ConfusionMatrix, EvalResult, confusion_counts
from mmcontrast.inference.extract import evaluating, extract
from mmcontrast.inference.image_batches import preprocessing
from mmcontrast.inference.prompts import PromptSet, Templates, embed_prompts
from mmcontrast.methods.clip import CLIP

BLOCK = 4096  # images that are scored at once


def zero_shot(
    method: CLIP,
    data: str | Path | Images,
    classnames: str | Path | Sequence[str] | None = None,
    templates: Templates = "simple",
    batch_size: int = 64,
    limit: int | None = None,
    cache: bool | Path = False,
    progress: bool = False,
) -> EvalResult:
    """Measures how often the class name that is nearest to an image is the right one.

    The method is evaluated on the device that it is on and left in the mode that it is in, also during training.

    Args:
        method: The image-text method.
        data: Labeled images: a folder of class folders, shards with KEY.cls, or a data set.
        classnames: Names in label order, or a file with one name a line; None takes those of the data, with spaces in
            place of underscores.
        templates: "simple", "openai80", a file, or sentences with ``{}``.
        batch_size: Number of images that are encoded at once.
        limit: Largest number of images, a random choice that is always the same; None takes all.
        cache: True stores features in the user's cache folder, a path stores them there, False stores nothing.
        progress: Whether to draw a progress bar on stderr if it is a terminal.

    Returns:
        ``top1`` and ``top5``, where ties count as a random order, and ``per_class``, the top-1 of each class (None for
        a class without images). Images that cannot be read or whose label is below 0 are counted and left out.

    Raises:
        InputError: There are no labels or no class names, or there are fewer names than labels.
    """
    if isinstance(data, Images):
        images = data
    else:
        images = Images(data, classnames=classnames, **preprocessing(method.encoder))
        classnames = None
    class_names = _class_names(images, classnames)
    prompts = PromptSet([name.replace("_", " ") for name in class_names], templates)
    with evaluating(method):
        class_vectors = embed_prompts(method, prompts, method.log_scale.device, cache).cpu()  # (C, D)
    indices = labeled_indices(images, limit)
    features = extract(method, method.embed_image, images, batch_size, cache, progress, indices)
    if not len(features.vectors):
        raise InputError(f"none of the {len(images)} images can be read; the first is {features.unreadable[0]}")
    target = torch.from_numpy(images.labels)[features.indices]  # (N,)
    blocks = zip(features.vectors.split(BLOCK), target.split(BLOCK), strict=True)
    scored = [_score(vectors, labels, class_vectors) for vectors, labels in blocks]
    top1, top5, predicted = (torch.cat(part) for part in zip(*scored, strict=True))  # (N,) each
    counts = torch.bincount(target, minlength=len(class_names))
    per_class = (torch.bincount(target, top1, minlength=len(class_names)) / counts).tolist()
    return EvalResult(
        metrics={
            "top1": top1.mean().item(),
            "top5": top5.mean().item(),
            "per_class": {
                name: value if count else None
                for name, value, count in zip(class_names, per_class, counts.tolist(), strict=True)
            },
        },
        counts={
            "num_images": len(target),
            "num_classes": len(class_names),
            "num_unreadable": len(features.unreadable),
            "num_unlabeled": int((images.labels < 0).sum()),
        },
        confusion={"zero-shot": ConfusionMatrix(confusion_counts(target, predicted, len(class_names)), class_names)},
    )


def _score(vectors: Tensor, target: Tensor, class_vectors: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Returns top-1 hits, top-5 hits and the predicted classes of images (N, D), each (N,)."""
    scores = vectors @ class_vectors.T  # (N, C)
    return topk_hits(scores, target, 1), topk_hits(scores, target, 5), scores.argmax(1)


def _class_names(images: Images, classnames: str | Path | Sequence[str] | None) -> list[str]:
    names = read_classnames(classnames) if isinstance(classnames, str | Path) else classnames
    if names is None:
        names = images.classes
        if all(name.isdigit() for name in names):
            raise InputError(f"the {len(names)} classes have numbers and no names; give --classnames, one name a line")
    elif images.class_folders:
        matched = match_class_names(images.class_folders, names, more_names=True)
        names = matched if isinstance(names, dict) else matched + [name for name in names if name not in matched]
    elif isinstance(names, dict):
        names = [names.get(name, name) for name in images.classes]
    if len(names) <= images.labels.max():
        raise InputError(f"{len(names)} class names, but the labels go up to {images.labels.max()}")
    return list(names)
