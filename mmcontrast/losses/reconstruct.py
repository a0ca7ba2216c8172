"""Losses between pictures and what a network makes up for their hidden parts."""

import torch
from torch import Tensor


def masked_patches(prediction: Tensor, target: Tensor, hidden: Tensor, normalise: bool = True) -> Tensor:
    """Mean squared error on hidden patches (MAE, 2111.06377, section 3).

    Args:
        prediction: (B, N, P) patches.
        target: (B, N, P) patches of the picture, in [0, 1].
        hidden: (B, N) bool, patches that count, as many in each picture.
        normalise: against each patch's own mean and deviation ("with normalised pixels").
    Returns:
        () in float32 at least.
    """
    prediction = prediction.to(torch.promote_types(prediction.dtype, torch.float32))
    if normalise:
        mean, deviation = patch_statistics(target)
        target = (target - mean) / deviation
    error = (prediction - target).square().mean(-1)  # (B, N)
    return (error * hidden).sum() / hidden.sum()


def patch_statistics(patches: Tensor) -> tuple[Tensor, Tensor]:
    """(B, N, P) -> mean and sqrt(variance + 1e-6) of each patch, (B, N, 1) both."""
    variance, mean = torch.var_mean(patches, -1, keepdim=True)
    return mean, (variance + 1e-6).sqrt()
