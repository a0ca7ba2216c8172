"""Stratified choices of labeled samples; the same seed always gives the same choice."""

import torch
from torch import Tensor


def stratified_sample(
    labels: Tensor, fraction: float | None = None, per_class: int | None = None, seed: int = 0
) -> Tensor:
    """Draws samples of each class at random.

    Args:
        labels: Classes of the samples (N,) int64.
        fraction: Fraction of each class to draw, rounded to whole samples, at least one.
        per_class: Number of samples of each class to draw, in place of ``fraction``.
        seed: Seed of the draw.

    Returns:
        Indices of the drawn samples, sorted, on the device of ``labels``.
    """
    generator = torch.Generator().manual_seed(seed)
    drawn = []
    for label in labels.unique():
        members = (labels == label).nonzero()[:, 0].cpu()
        count = per_class if per_class is not None else round((fraction or 0) * len(members))
        drawn.append(members[torch.randperm(len(members), generator=generator)[: max(1, count)]])
    return torch.cat(drawn).sort().values.to(labels.device)


def stratified_split(labels: Tensor, held_out_fraction: float, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Divides samples into a part to fit on and a held-out part.

    Args:
        labels: Classes of the samples (N,) int64.
        held_out_fraction: Fraction of each class that is held out. The only sample of a class is never held out.
        seed: Seed of the draw.

    Returns:
        Indices of the samples to fit on, and of those held out.
    """
    held_out = stratified_sample(labels, held_out_fraction, seed=seed)
    counts = labels.bincount()
    held_out = held_out[counts[labels[held_out]] > 1]
    remains = torch.ones(len(labels), dtype=torch.bool, device=labels.device)
    remains[held_out] = False
    return remains.nonzero()[:, 0], held_out


def stratified_folds(labels: Tensor, num_folds: int, seed: int = 0) -> list[tuple[Tensor, Tensor]]:
    """Divides samples for cross-validation, so that each class is spread over the folds.

    Args:
        labels: Classes of the samples (N,) int64.
        num_folds: Number of folds.
        seed: Seed of the order.

    Returns:
        For each fold the indices of the samples to fit on, and of those held out.
    """
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed)).to(labels.device)
    order = order[labels[order].argsort(stable=True)]  # by class, in random order within a class
    fold_numbers = torch.empty_like(order)
    fold_numbers[order] = torch.arange(len(order), device=order.device) % num_folds
    return [((fold_numbers != i).nonzero()[:, 0], (fold_numbers == i).nonzero()[:, 0]) for i in range(num_folds)]
