"""Multinomial logistic regression by L-BFGS, on any device, as scikit-learn defines it."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from mmcontrast.errors import InputError
from mmcontrast.evals.ranking import topk_hits

ROWS = 1 << 16  # samples at once: logits of a data set of millions would not fit
SWEEP = tuple(10 ** (exponent / 2) for exponent in range(-12, 3))  # 1e-6 to 10, two a decade
PATIENCE = 4  # values of C in a row that may do worse than the best before a sweep ends


class Classifier(NamedTuple):
    """A linear classifier: ``weight`` (C, D), ``bias`` (C,)."""

    weight: Tensor
    bias: Tensor

    def __call__(self, features: Tensor) -> Tensor:
        """(N, D) -> (N, C) logits."""
        return features @ self.weight.T + self.bias


class Scaling(NamedTuple):
    """Brings each feature to mean 0 and variance 1; constant features become 0."""

    mean: Tensor
    scale: Tensor

    @classmethod
    def of(cls, features: Tensor) -> "Scaling":
        """The scaling of (N, D) features."""
        deviation, mean = torch.std_mean(features, 0, correction=0)
        negligible = deviation <= 1e-6 * mean.abs() + 1e-12
        return cls(mean, torch.where(negligible, 0, 1 / deviation.clamp(min=1e-12)))

    def __call__(self, features: Tensor) -> Tensor:
        """(N, D) -> (N, D)."""
        return (features - self.mean) * self.scale

    def folded(self, classifier: Classifier) -> Classifier:
        """A classifier of scaled features -> the same one, of features as they come."""
        weight = classifier.weight * self.scale
        return Classifier(weight, classifier.bias - weight @ self.mean)


def fit_logistic(
    features: Tensor,
    target: Tensor,
    classes: int,
    C: float = 1.0,
    start: Classifier | None = None,
    max_iter: int = 1000,
    tolerance: float = 1e-4,
) -> Classifier:
    """Minimizes sum_n CE_n + ||weight||^2 / (2 C); the bias is free.

    Args:
        features: (N, D) float.
        target: (N,) int64 classes, or (N, C) float shares of the classes; a row may weigh less than 1.
        classes: number of classes.
        C: inverse strength of the regularization, as in scikit-learn.
        start: where to begin; zeros if None.
        max_iter: iterations after which to stop.
        tolerance: stop when no component of the gradient of the mean loss is larger.
    """
    mass = len(features) if target.ndim == 1 else float(target.sum())
    flat = features.new_zeros(classes, features.shape[1] + 1)  # weight and bias in one
    if start is not None:
        flat[:, :-1], flat[:, -1] = start
    flat.requires_grad_()
    solver = torch.optim.LBFGS(
        [flat],
        max_iter=max_iter,
        max_eval=2 * max_iter,
        tolerance_grad=tolerance,
        tolerance_change=0,
        history_size=10,
        line_search_fn="strong_wolfe",
    )

    @torch.no_grad()
    def closure() -> float:
        weight, bias = flat[:, :-1], flat[:, -1]
        gradient = torch.zeros_like(flat)
        loss = features.new_zeros((), dtype=torch.float64)
        for x, y in zip(features.split(ROWS), target.split(ROWS), strict=True):
            logs = (x @ weight.T + bias).log_softmax(1)  # (n, C)
            if y.ndim == 1:
                loss -= logs.gather(1, y[:, None]).sum(dtype=torch.float64)
                error = logs.exp_()
                error[torch.arange(len(y), device=y.device), y] -= 1
            else:
                loss -= (y * logs).sum(dtype=torch.float64)
                error = logs.exp_() * y.sum(1, keepdim=True) - y
            gradient[:, :-1] += error.T @ x
            gradient[:, -1] += error.sum(0)
        gradient[:, :-1] += weight / C
        flat.grad = gradient / mass
        return float((loss + weight.double().square().sum() / (2 * C)) / mass)

    solver.step(closure)
    found = flat.detach()
    return Classifier(found[:, :-1].contiguous(), found[:, -1].contiguous())


def accuracy(logits: Tensor, target: Tensor, k: int = 1) -> float:
    """Share of samples whose class is among the first k, or of their mass, for (N, C) shares and k = 1."""
    if target.ndim == 1:
        return topk_hits(logits, target, k).mean().item()
    return (target.gather(1, logits.argmax(1, keepdim=True)).sum() / target.sum()).item()


def choose_C(
    features: Tensor,
    target: Tensor,
    classes: int,
    splits: Sequence[tuple[Tensor, Tensor]],
    sweep: Sequence[float] = SWEEP,
    max_iter: int = 100,
) -> tuple[float, dict[float, float]]:
    """The smallest C of those that do best on samples held out.

    It goes from small to large and stops once the last few were all worse than the best before them.

    Args:
        features: (N, D), not scaled; each split scales by its own fitting part.
        target: as in ``fit_logistic``.
        classes: number of classes.
        splits: pairs of places to fit on and to measure on.
        sweep: values of C.
        max_iter: iterations for each value; accuracy settles long before the weights do.
    Returns:
        C, and the accuracy of each value tried, the mean over the splits.
    """
    if not sweep or min(sweep) <= 0:
        raise InputError(f"values of C {list(sweep)}: give numbers above 0")
    parts = []
    for fitting, held_out in splits:
        scaling = Scaling.of(features[fitting])
        parts.append((scaling(features[fitting]), scaling(features[held_out])))
    found: dict[float, float] = {}
    classifiers: list[Classifier | None] = [None] * len(parts)
    for C in sorted(set(sweep)):
        right = []
        for i, ((fitting, held_out), (x, rest)) in enumerate(zip(splits, parts, strict=True)):
            fitted = fit_logistic(x, target[fitting], classes, C, classifiers[i], max_iter)  # begins at its neighbor
            classifiers[i] = fitted
            right.append(accuracy(fitted(rest), target[held_out]))
        found[C] = sum(right) / len(right)
        if len(found) > PATIENCE and max([*found.values()][-PATIENCE:]) < max(found.values()):
            break
    return max(found, key=lambda C: (found[C], -C)), found


def fit_scaled(features: Tensor, target: Tensor, classes: int, C: float) -> Classifier:
    """A classifier learned on scaled features, for features as they come."""
    scaling = Scaling.of(features)
    return scaling.folded(fit_logistic(scaling(features), target, classes, C))
