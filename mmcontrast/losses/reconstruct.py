"""Losses between images and what a network makes up for their hidden parts."""

import torch
import torch.nn.functional as F
from torch import Tensor


def masked_patches(prediction: Tensor, target: Tensor, hidden: Tensor, normalize: bool = True) -> Tensor:
    """Mean squared error on hidden patches (MAE, 2111.06377, section 3).

    Args:
        prediction: (B, N, P) patches.
        target: (B, N, P) patches of the image, in [0, 1].
        hidden: (B, N) bool, patches that count, as many in each image.
        normalize: against each patch's own mean and deviation ("with normalized pixels").
    Returns:
        () in float32 at least.
    """
    prediction = prediction.to(torch.promote_types(prediction.dtype, torch.float32))
    if normalize:
        mean, deviation = patch_statistics(target)
        target = (target - mean) / deviation
    error = (prediction - target).square().mean(-1)  # (B, N)
    return (error * hidden).sum() / hidden.sum()


def patch_statistics(patches: Tensor) -> tuple[Tensor, Tensor]:
    """(B, N, P) -> mean and sqrt(variance + 1e-6) of each patch, (B, N, 1) both."""
    variance, mean = torch.var_mean(patches, -1, keepdim=True)
    return mean, (variance + 1e-6).sqrt()


def inpainting_loss(
    prediction: Tensor, target: Tensor, hole: Tensor, border: Tensor, border_weight: float = 10.0
) -> Tensor:
    """Mean squared error in a hole and around it (Context encoders, 1604.07379, eq. 1 and section 3.2).

    Args:
        prediction: (B, C, H, W).
        target: (B, C, H, W).
        hole: (B, 1, H, W) bool.
        border: (B, 1, H, W) bool, pixels around the hole that are painted as well, to meet the image.
        border_weight: what they count, where a pixel of the hole counts 1.
    Returns:
        () in float32 at least: the mean over images of their weighted means.
    """
    prediction = prediction.to(torch.promote_types(prediction.dtype, torch.float32))
    weight = hole + border_weight * border  # (B, 1, H, W)
    error = (prediction - target).square().mean(1, keepdim=True)
    return ((error * weight).sum((1, 2, 3)) / weight.sum((1, 2, 3))).mean()


def color_bins(logits: Tensor, index: Tensor, share: Tensor, weight: Tensor) -> Tensor:
    """Cross-entropy of predicted and soft target colors, rare colors weighted (1603.08511, eqs. 2 and 3).

    Args:
        logits: (B, Q, H, W), a distribution over Q bins for each pixel.
        index: (B, K, H, W) int64, the bins of the target that are not 0.
        share: (B, K, H, W) their probabilities Z, of sum 1.
        weight: (Q,) of a pixel whose likeliest bin it is.
    Returns:
        () in float32 at least, the mean over pixels.
    """
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    entropy = logits.logsumexp(1) - (share * logits.gather(1, index)).sum(1)  # (B, H, W), since shares sum to 1
    likeliest = index.gather(1, share.argmax(1, keepdim=True))[:, 0]
    return (weight[likeliest] * entropy).mean()


def adversarial_loss(logits: Tensor, real: bool) -> Tensor:
    """Cross-entropy of a discriminator's verdicts (Goodfellow et al. 2014, 1406.2661, eq. 1).

    Args:
        logits: of any shape, log-odds that an image is real.
        real: what it should be taken for: -log D if real, else -log(1 - D).
    Returns:
        () in float32 at least.
    """
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    return F.softplus(-logits if real else logits).mean()
