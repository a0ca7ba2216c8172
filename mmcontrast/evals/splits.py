"""Which labeled samples to learn from: stratified, and the same for the same seed."""

import torch
from torch import Tensor


def draw(labels: Tensor, fraction: float | None = None, per_class: int | None = None, seed: int = 0) -> Tensor:
    """A stratified choice: of each class a rounded ``fraction``, or ``per_class`` samples, but at least 1.

    Args:
        labels: (N,) int64.
    Returns:
        Places, sorted, on the device of ``labels``.
    """
    generator = torch.Generator().manual_seed(seed)
    chosen = []
    for label in labels.unique():
        places = (labels == label).nonzero()[:, 0].cpu()
        count = per_class if per_class is not None else round((fraction or 0) * len(places))
        chosen.append(places[torch.randperm(len(places), generator=generator)[: max(1, count)]])
    return torch.cat(chosen).sort().values.to(labels.device)


def hold_out(labels: Tensor, fraction: float, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Places to fit on and, stratified, a ``fraction`` held out; a class's only sample stays to be fitted."""
    held = draw(labels, fraction, seed=seed)
    counts = labels.bincount()
    held = held[counts[labels[held]] > 1]
    rest = torch.ones(len(labels), dtype=torch.bool, device=labels.device)
    rest[held] = False
    return rest.nonzero()[:, 0], held


def folds(labels: Tensor, count: int, seed: int = 0) -> list[tuple[Tensor, Tensor]]:
    """Cross-validation: ``count`` pairs of places to fit on and held out; each class is spread over the folds."""
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed)).to(labels.device)
    order = order[labels[order].argsort(stable=True)]  # by class, random within
    fold = torch.empty_like(order)
    fold[order] = torch.arange(len(order), device=order.device) % count
    return [((fold != i).nonzero()[:, 0], (fold == i).nonzero()[:, 0]) for i in range(count)]
