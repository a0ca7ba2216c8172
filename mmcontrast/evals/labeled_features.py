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
from mmcontrast.inference.image_batches import preprocessing

Data = str | Path | Images


@dataclass(frozen=True)
class FeatureSettings:
    """How images are embedded.

    Attributes:
        resolution: Side in pixels that images are brought to; None takes the encoder's own.
        batch_size: Number of images that are encoded at once.
        limit: Largest number of images of each data set: a random choice that is always the same. None takes all.
        cache: True stores features in the user's cache folder, a path stores them there, False stores nothing.
        progress: Whether to draw a progress bar on stderr if it is a terminal.
    """

    resolution: int | None = None
    batch_size: int = 64
    limit: int | None = None
    cache: bool | Path = False
    progress: bool = False


@dataclass(frozen=True)
class LabeledFeatures:
    """Features of the labeled images of a data set that could be read.

    Attributes:
        vectors: Features (N, D) float32 on the CPU.
        labels: Classes (N,) int64.
        indices: Indices of the images in ``images`` (N,) int64.
        images: The data set.
        num_unreadable: Number of images that were left out because they cannot be read.
        num_unlabeled: Number of images that were left out because their label is below 0.
    """

    vectors: Tensor
    labels: Tensor
    indices: Tensor
    images: Images
    num_unreadable: int
    num_unlabeled: int


def embed_train_and_test(
    encoder: Encoder,
    train: Data,
    test: Data,
    settings: FeatureSettings,
    embed: Callable[[Tensor], Tensor] | None = None,
) -> tuple[LabeledFeatures, LabeledFeatures]:
    """Embeds a training set and a test set, whose labels then mean the same classes, those of the training set.

    Args:
        encoder: The encoder, evaluated on the device that it is on.
        train: Labeled images: a folder of class folders, shards with KEY.cls, or a data set.
        test: Labeled images whose classes are among those of ``train``.
        settings: How images are embedded.
        embed: A function from images (B, 3, S, S) in [0, 1] to features (B, D); None takes the encoder's pooled output.

    Returns:
        The features of the training set, and of the test set.

    Raises:
        InputError: There are no labels, ``test`` has a class that ``train`` lacks, no image can be read, or features
            are not finite.
    """
    train_images, test_images = (_open(encoder, data, settings) for data in (train, test))
    class_numbers = match_classes(train_images, test_images)
    train_features = _embed(encoder, train_images, settings, embed or encoder)
    test_features = _embed(encoder, test_images, settings, embed or encoder, class_numbers)
    return train_features, test_features


def exclusions(train: LabeledFeatures, test: LabeledFeatures) -> dict[str, int]:
    """Returns the counts of a training set and a test set, and of the images left out of either."""
    return {
        "num_train": len(train.labels),
        "num_test": len(test.labels),
        "num_classes": len(train.images.classes),
        "num_unreadable": train.num_unreadable + test.num_unreadable,
        "num_unlabeled": train.num_unlabeled + test.num_unlabeled,
    }


def match_classes(train: Images, test: Images) -> Tensor:
    """Finds the classes of a test set among those of a training set, by name.

    Args:
        train: The training set.
        test: The test set.

    Returns:
        The number that each class of ``test`` has in ``train`` (C,) int64.

    Raises:
        InputError: ``test`` has a class that ``train`` lacks.
    """
    if unknown := [name for name in test.classes if name not in train.classes]:
        raise InputError(
            f"the test set has classes that the training set lacks: {', '.join(unknown[:5])}; "
            f"it has {', '.join(train.classes[:5])}{' ...' if len(train.classes) > 5 else ''}"
        )
    return torch.tensor([train.classes.index(name) for name in test.classes])


def labeled_indices(images: Images, limit: int | None = None) -> np.ndarray | None:
    """Chooses the images whose label is not below 0, at most ``limit`` of them.

    Args:
        images: The data set.
        limit: Largest number of images; the choice is random and always the same.

    Returns:
        Sorted indices, or None for all images.

    Raises:
        InputError: The data set has no labels, or all are below 0.
    """
    is_labeled = images.labels >= 0
    if not is_labeled.any():
        raise InputError(f"all {len(images)} labels are below 0, which stands for unlabeled; give labeled images")
    if limit is not None and limit < is_labeled.sum():
        order = np.random.default_rng(0).permutation(len(images))
        return np.sort(order[is_labeled[order]][:limit])
    return None if is_labeled.all() else is_labeled.nonzero()[0]


def _open(encoder: Encoder, data: Data, settings: FeatureSettings) -> Images:
    if isinstance(data, Images):
        return data
    options = preprocessing(encoder)
    options["size"] = settings.resolution or options["size"]
    return Images(data, **options)


def _embed(
    encoder: Encoder,
    images: Images,
    settings: FeatureSettings,
    embed: Callable[[Tensor], Tensor],
    class_numbers: Tensor | None = None,
) -> LabeledFeatures:
    indices = labeled_indices(images, settings.limit)
    features = extract(encoder, embed, images, settings.batch_size, settings.cache, settings.progress, indices)
    if not len(features.vectors):
        raise InputError(f"none of the {len(images)} images can be read; the first is {features.unreadable[0]}")
    if not torch.isfinite(features.vectors).all():
        raise InputError("the encoder gives features that are NaN or infinite; its weights or its input are broken")
    labels = torch.from_numpy(images.labels)[features.indices]
    if class_numbers is not None:
        labels = class_numbers[labels]
    num_unlabeled = int((images.labels < 0).sum())
    return LabeledFeatures(features.vectors, labels, features.indices, images, len(features.unreadable), num_unlabeled)
