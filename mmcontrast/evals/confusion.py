"""The confusion matrix: how often each class was predicted for each true class."""

import torch
from torch import Tensor


def confusion(target: Tensor, predicted: Tensor, classes: int) -> Tensor:
    """(N,) right and (N,) predicted classes -> (C, C) int64 counts; row = right class, column = predicted one."""
    return torch.bincount(target * classes + predicted, minlength=classes**2).view(classes, classes)
