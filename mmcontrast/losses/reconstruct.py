"""Losses between images and what a network predicts for their hidden parts."""

import torch
import torch.nn.functional as F
from torch import Tensor

from mmcontrast.ops.precision import at_least_float32


def masked_patches(prediction: Tensor, target: Tensor, hidden: Tensor, normalize: bool = True) -> Tensor:
    """Computes the mean squared error on hidden patches (MAE, 2111.06377, section 3).

    Args:
        prediction: (B, N, P) patches.
        target: (B, N, P) patches of the image.
        hidden: (B, N) bool, the patches that count, equally many in each image.
        normalize: Whether targets are in units of each patch's own mean and deviation ("with normalized pixels").

    Returns:
        A scalar in float32 or wider.
    """
    prediction = at_least_float32(prediction)
    if normalize:
        mean, deviation = patch_statistics(target)
        target = (target - mean) / deviation
    error = (prediction - target).square().mean(-1)  # (B, N)
    return (error * hidden).sum() / hidden.sum()


def patch_statistics(patches: Tensor) -> tuple[Tensor, Tensor]:
    """Returns the (B, N, 1) mean and sqrt(variance + 1e-6) of each patch, for patches (B, N, P)."""
    variance, mean = torch.var_mean(patches, -1, keepdim=True)
    return mean, (variance + 1e-6).sqrt()


def inpainting_loss(
    prediction: Tensor, target: Tensor, hole: Tensor, border: Tensor, border_weight: float = 10.0
) -> Tensor:
    """Computes the mean squared error in a hole and around it (Context encoders, 1604.07379, eq. 1 and section 3.2).

    Args:
        prediction: (B, C, H, W).
        target: (B, C, H, W).
        hole: (B, 1, H, W) bool.
        border: (B, 1, H, W) bool, the pixels around the hole that are painted as well, to join it to the image.
        border_weight: Weight of a pixel of the border, where a pixel of the hole has weight 1.

    Returns:
        A scalar in float32 or wider, the mean over images of their weighted means.
    """
    prediction = at_least_float32(prediction)
    weight = hole + border_weight * border  # (B, 1, H, W)
    error = (prediction - target).square().mean(1, keepdim=True)
    return ((error * weight).sum((1, 2, 3)) / weight.sum((1, 2, 3))).mean()


def color_bins(logits: Tensor, index: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Computes the cross-entropy of predicted and soft target colors, with weights (1603.08511, eqs. 2 and 3).

    Args:
        logits: (B, Q, H, W), a distribution over Q bins for each pixel.
        index: (B, K, H, W) int64, the bins of the target that are not 0.
        target: (B, K, H, W), their probabilities Z, which sum to 1.
        weight: (Q,), the weight of a pixel by its likeliest bin.

    Returns:
        A scalar in float32 or wider, the mean over pixels.
    """
    logits = at_least_float32(logits)
    entropy = logits.logsumexp(1) - (target * logits.gather(1, index)).sum(1)  # (B, H, W)
    likeliest = index.gather(1, target.argmax(1, keepdim=True))[:, 0]
    return (weight[likeliest] * entropy).mean()


def adversarial_loss(logits: Tensor, real: bool) -> Tensor:
    """Computes the cross-entropy of a discriminator's verdicts (Goodfellow et al. 2014, 1406.2661, eq. 1).

    Args:
        logits: Log-odds that an image is real, of any shape.
        real: The right verdict; the loss is -log D if it is true, else -log(1 - D).

    Returns:
        A scalar in float32 or wider.
    """
    logits = at_least_float32(logits)
    return F.softplus(-logits if real else logits).mean()
