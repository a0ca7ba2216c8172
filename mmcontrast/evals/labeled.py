"""Features of labeled images, for the evaluations that learn or vote from a training set."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from mmcontrast.data.datasets.images import Images
from mmcontrast.encoders.base import Encoder
from mmcontrast.errors import InputError
from mmcontrast.inference.extract import extract
from mmcontrast.inference.image_batches import square

Data = str | Path | Images


@dataclass
class Settings:
    """How images are embedded.

    Args:
        image_size: side in pixels that images are brought to; None: the encoder's own.
        batch_size: images encoded at once.
        limit: look at no more images of a data set than this, a random choice that is always the same.
        cache: True keeps features in the user's cache folder; or a folder of your own; False: nowhere.
        progress: show a bar on a terminal's stderr.
    """

    image_size: int | None = None
    batch_size: int = 64
    limit: int | None = None
    cache: bool | Path = False
    progress: bool = False


@dataclass
class Labeled:
    """Images of a data set that could be read.

    Attributes:
        vectors: (N, D) float32 on the CPU.
        labels: (N,) int64.
        places: (N,) int64, samples of ``images``.
        images: the data set.
        unreadable: how many images were left out.
    """

    vectors: Tensor
    labels: Tensor
    places: Tensor
    images: Images
    unreadable: int


def embed_both(
    encoder: Encoder, train: Data, test: Data, settings: Settings, embed: Callable[[Tensor], Tensor] | None = None
) -> tuple[Labeled, Labeled]:
    """Features of a training and of a test set, with labels that mean the same classes, those of ``train``.

    Args:
        encoder: the model, evaluated where it lies.
        train: labeled images: a folder of class folders, shards with KEY.cls, or a data set.
        test: the same.
        settings: how images are embedded.
        embed: (B, 3, S, S) in [0, 1] -> (B, D); None: the encoder's pooled face.
    Raises:
        InputError: no labels, a class of ``test`` that ``train`` lacks, no readable image, or features that are NaN.
    """
    sets = [_open(encoder, data, settings) for data in (train, test)]
    first = _embed(encoder, sets[0], settings, embed or encoder)
    second = _embed(encoder, sets[1], settings, embed or encoder)
    second.labels = same_classes(*sets)[second.labels]
    return first, second


def same_classes(train: Images, test: Images) -> Tensor:
    """(C of test,) int64: the number that each class of ``test`` has in ``train``."""
    if unknown := [name for name in test.classes if name not in train.classes]:
        raise InputError(
            f"the test set has classes that the training set lacks: {', '.join(unknown[:5])}; "
            f"it has {', '.join(train.classes[:5])}{' ...' if len(train.classes) > 5 else ''}"
        )
    return torch.tensor([train.classes.index(name) for name in test.classes])


def _open(encoder: Encoder, data: Data, settings: Settings) -> Images:
    if isinstance(data, Images):
        return data
    shape = square(encoder)
    shape["size"] = settings.image_size or shape["size"]
    return Images(data, **shape)


def _embed(encoder: Encoder, images: Images, settings: Settings, embed: Callable[[Tensor], Tensor]) -> Labeled:
    images.labels  # noqa: B018  refuses unlabeled images before any work
    places = None
    if settings.limit is not None and settings.limit < len(images):
        places = np.sort(np.random.default_rng(0).permutation(len(images))[: settings.limit])
    found = extract(encoder, embed, images, settings.batch_size, settings.cache, settings.progress, places)
    if not len(found.vectors):
        raise InputError(f"none of the {len(images)} images can be read; the first is {found.unreadable[0]}")
    if not torch.isfinite(found.vectors).all():
        raise InputError("the encoder gives features that are NaN or infinite; its weights or its input are broken")
    labels = torch.from_numpy(images.labels)[found.places]
    return Labeled(found.vectors, labels, found.places, images, len(found.unreadable))
