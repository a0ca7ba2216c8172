"""The results of the predictors: small frozen dataclasses.

Numbers are tensors on the CPU. Images and masks are uint8 arrays, as they are when a predictor takes them. Coordinates
are (x, y) in pixels of the input image; the center of the upper left pixel is (0, 0).
"""

from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
from torch import Tensor

from mmcontrast.errors import InputError

Value = TypeVar("Value")
ImageArray = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Result(Generic[Value]):
    """One input and what a predictor returns for it.

    Attributes:
        item: The input. The files of a folder are items of their own, as paths, and so are the images of a
            (N, H, W, 3) array. The items of a video are the numbers of its frames.
        value: The prediction, or None if there is an error.
        error: One sentence that says why the item cannot be used, or None.
    """

    item: Any
    value: Value | None = None
    error: str | None = None

    def unwrap(self) -> Value:
        """Returns the value.

        Raises:
            InputError: The item cannot be used.
        """
        if self.error is not None or self.value is None:
            raise InputError(self.error or f"{self.item}: there is no result")
        return self.value


class LabelScore(NamedTuple):
    """A label and its probability."""

    label: str
    score: float


@dataclass(frozen=True)
class Classification:
    """The probabilities of labels for one image.

    Attributes:
        labels: C names.
        logits: (C,) float32, the model's scale times the cosine between image and label.
        probabilities: (C,) float32, the softmax of the logits.
    """

    labels: tuple[str, ...]
    logits: Tensor
    probabilities: Tensor

    def top(self, k: int = 5) -> list[LabelScore]:
        """Returns the k most probable labels, best first; fewer if there are fewer labels.

        Raises:
            InputError: k is below 1.
        """
        if k < 1:
            raise InputError(f"k is {k}; give 1 or more")
        scores, indices = self.probabilities.topk(min(k, len(self.labels)))
        return [LabelScore(self.labels[i], score) for i, score in zip(indices.tolist(), scores.tolist(), strict=True)]


@dataclass(frozen=True)
class ImageFeatures:
    """The features of one image.

    Attributes:
        pooled: (D,) float32, the encoder's pooled output.
    """

    pooled: Tensor


@dataclass(frozen=True)
class Matches:
    """The positions of Q points of the reference in another image.

    Attributes:
        xy: (Q, 2) float32, pixels of the other image.
        distance: (Q,) float32, between the descriptors.
        confidence: (Q,) float32 in [0, 1]. It compares squared distances: that of the best other position, at least a
            20th of the image's diagonal away, less that of the match, relative to the mean over the image. It is 0 if
            the image is too small to have another position.
    """

    xy: Tensor
    distance: Tensor
    confidence: Tensor


@dataclass(frozen=True)
class MutualMatches:
    """P pairs of points that are each other's nearest, nearest pair first.

    Attributes:
        reference_xy: (P, 2) float32, pixels of the reference.
        xy: (P, 2) float32, pixels of the other image.
        distance: (P,) float32, between the descriptors.
    """

    reference_xy: Tensor
    xy: Tensor
    distance: Tensor


@dataclass(frozen=True)
class ColoredImage:
    """An image with the lightness of the input and predicted colors.

    Attributes:
        image: (H, W, 3) uint8.
    """

    image: ImageArray


@dataclass(frozen=True)
class TrackedMask:
    """The objects in one frame.

    Attributes:
        mask: (H, W) uint8, the ids of the objects of the annotation, 0 for the background.
    """

    mask: ImageArray


@dataclass(frozen=True)
class TrackedPoints:
    """The positions of N points in one frame. For a whole video there is a leading axis of T frames.

    Attributes:
        xy: (N, 2) float32, pixels.
        confidence: (N,) float32 in [0, 1], 1 in the annotated frame.
        visible: (N,) bool, whether the confidence is high enough.
    """

    xy: Tensor
    confidence: Tensor
    visible: Tensor
