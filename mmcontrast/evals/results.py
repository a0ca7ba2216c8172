"""What every evaluation returns."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor


class ConfusionMatrix(NamedTuple):
    """How often each class was predicted for each true class.

    Attributes:
        counts: (C, C) int64 on the CPU; a row belongs to a true class, a column to a predicted class.
        class_names: The C names.
    """

    counts: Tensor
    class_names: list[str]


@dataclass(frozen=True)
class EvalResult:
    """The figures of one evaluation.

    Attributes:
        metrics: What was measured. Accuracies and other rates lie in [0, 1]. It can be written as JSON.
        counts: How many images, points and so on were measured, and how many were left out.
        settings: The choices that the figures depend on.
        confusion: Confusion matrices by name, for the evaluations that classify.
    """

    metrics: dict[str, Any]
    counts: dict[str, int]
    settings: dict[str, Any] = field(default_factory=dict)
    confusion: Mapping[str, ConfusionMatrix] = field(default_factory=dict)


def confusion_counts(target: Tensor, predicted: Tensor, num_classes: int) -> Tensor:
    """Counts pairs of a true and a predicted class.

    Args:
        target: True classes (N,) int64.
        predicted: Predicted classes (N,) int64.
        num_classes: Number of classes C.

    Returns:
        Counts (C, C) int64; a row belongs to a true class, a column to a predicted class.

    >>> confusion_counts(torch.tensor([0, 0, 1]), torch.tensor([0, 1, 1]), 2).tolist()
    [[1, 1], [0, 1]]
    """
    pairs = target * num_classes + predicted
    return torch.bincount(pairs, minlength=num_classes**2).view(num_classes, num_classes)
