"""Multinomial logistic regression by L-BFGS, on any device, as scikit-learn defines it."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from mmcontrast.errors import InputError
from mmcontrast.evals.ranking import topk_hits

ROWS = 1 << 16  # samples whose logits are computed at once
C_SWEEP = tuple(10 ** (exponent / 2) for exponent in range(-12, 3))  # 1e-6 to 10, two values per decade
PATIENCE = 4  # a sweep ends after so many values of C in a row that do worse than the best


class Classifier(NamedTuple):
    """A linear classifier.

    Attributes:
        weight: Weights (C, D).
        bias: Biases (C,).
    """

    weight: Tensor
    bias: Tensor

    def __call__(self, features: Tensor) -> Tensor:
        """Computes logits (N, C) of features (N, D)."""
        return features @ self.weight.T + self.bias


class Scaling(NamedTuple):
    """A scaling of each feature to mean 0 and variance 1. Constant features become 0.

    Attributes:
        mean: Mean of each feature (D,).
        scale: Inverse standard deviation of each feature (D,), 0 for constant features.
    """

    mean: Tensor
    scale: Tensor

    @classmethod
    def of(cls, features: Tensor) -> "Scaling":
        """Returns the scaling that features (N, D) need."""
        deviation, mean = torch.std_mean(features, 0, correction=0)
        negligible = deviation <= 1e-6 * mean.abs() + 1e-12
        return cls(mean, torch.where(negligible, 0, 1 / deviation.clamp(min=1e-12)))

    def __call__(self, features: Tensor) -> Tensor:
        """Scales features (N, D)."""
        return (features - self.mean) * self.scale

    def fold_into(self, classifier: Classifier) -> Classifier:
        """Returns the classifier of unscaled features that equals ``classifier`` on scaled features."""
        weight = classifier.weight * self.scale
        return Classifier(weight, classifier.bias - weight @ self.mean)


def fit_logistic(
    features: Tensor,
    target: Tensor,
    num_classes: int,
    C: float = 1.0,
    initial: Classifier | None = None,
    max_iter: int = 1000,
    tolerance: float = 1e-4,
) -> Classifier:
    """Minimizes sum_n CE_n + ||weight||^2 / (2 C); the bias is not regularized.

    Args:
        features: Features (N, D) float.
        target: Classes (N,) int64, or weights of the classes (N, C) float; the weights of a row may sum to less than 1.
        num_classes: Number of classes.
        C: Inverse strength of the regularization, as in scikit-learn.
        initial: The classifier to begin with; None begins with zeros.
        max_iter: Largest number of iterations.
        tolerance: The fit ends if no component of the gradient of the mean loss is larger.

    Returns:
        The fitted classifier.
    """
    mass = len(features) if target.ndim == 1 else float(target.sum())
    parameters = features.new_zeros(num_classes, features.shape[1] + 1)  # weight and bias side by side
    if initial is not None:
        parameters[:, :-1], parameters[:, -1] = initial
    parameters.requires_grad_()
    solver = torch.optim.LBFGS(
        [parameters],
        max_iter=max_iter,
        max_eval=2 * max_iter,
        tolerance_grad=tolerance,
        tolerance_change=0,
        history_size=10,
        line_search_fn="strong_wolfe",
    )

    def closure() -> float:
        loss, parameters.grad = _loss_and_gradient(parameters.detach(), features, target, C, mass)
        return loss

    solver.step(closure)
    fitted = parameters.detach()
    return Classifier(fitted[:, :-1].contiguous(), fitted[:, -1].contiguous())


def _loss_and_gradient(
    parameters: Tensor, features: Tensor, target: Tensor, C: float, mass: float
) -> tuple[float, Tensor]:
    """Computes the mean loss and its gradient block by block, without autograd."""
    weight, bias = parameters[:, :-1], parameters[:, -1]
    gradient = torch.zeros_like(parameters)
    loss = features.new_zeros((), dtype=torch.float64)
    for x, y in zip(features.split(ROWS), target.split(ROWS), strict=True):
        log_probability = (x @ weight.T + bias).log_softmax(1)  # (n, C)
        if y.ndim == 1:
            loss -= log_probability.gather(1, y[:, None]).sum(dtype=torch.float64)
            residual = log_probability.exp_()
            residual[torch.arange(len(y), device=y.device), y] -= 1
        else:
            loss -= (y * log_probability).sum(dtype=torch.float64)
            residual = log_probability.exp_() * y.sum(1, keepdim=True) - y
        gradient[:, :-1] += residual.T @ x
        gradient[:, -1] += residual.sum(0)
    gradient[:, :-1] += weight / C
    return float((loss + weight.double().square().sum() / (2 * C)) / mass), gradient / mass


def accuracy(logits: Tensor, target: Tensor, k: int = 1) -> float:
    """Computes the fraction of samples whose class is among the k largest logits.

    Args:
        logits: Logits (N, C).
        target: Classes (N,) int64, or weights of the classes (N, C) float for k = 1: each sample then counts with the
            weight of its predicted class.
        k: Number of ranks that count.

    Returns:
        A number in [0, 1].
    """
    if target.ndim == 1:
        return topk_hits(logits, target, k).mean().item()
    return float(target.gather(1, logits.argmax(1, keepdim=True)).sum() / target.sum())


def choose_C(
    features: Tensor,
    target: Tensor,
    num_classes: int,
    splits: Sequence[tuple[Tensor, Tensor]],
    sweep: Sequence[float] = C_SWEEP,
    max_iter: int = 100,
) -> tuple[float, dict[float, float]]:
    """Chooses the smallest C among those with the best accuracy on held-out samples.

    The sweep goes from small to large values and ends when the last few were all worse than the best.

    Args:
        features: Unscaled features (N, D); each split is scaled by the samples that it fits on.
        target: Classes, as in ``fit_logistic``.
        num_classes: Number of classes.
        splits: Pairs of indices: samples to fit on and samples held out.
        sweep: Values of C.
        max_iter: Largest number of iterations for each value; the accuracy settles long before the weights do.

    Returns:
        C, and the accuracy of each value that was tried, averaged over the splits.

    Raises:
        InputError: There is no value of C, or one is not above 0.
    """
    if not sweep or min(sweep) <= 0:
        raise InputError(f"values of C {list(sweep)}: give numbers above 0")
    scaled = []
    for fit_indices, held_out in splits:
        scaling = Scaling.of(features[fit_indices])
        scaled.append((scaling(features[fit_indices]), scaling(features[held_out])))
    accuracies: dict[float, float] = {}
    classifiers: list[Classifier | None] = [None] * len(splits)
    for C in sorted(set(sweep)):
        total = 0.0
        for i, ((fit_indices, held_out), (x, rest)) in enumerate(zip(splits, scaled, strict=True)):
            # Each value begins with the classifier of the value before.
            fitted = fit_logistic(x, target[fit_indices], num_classes, C, classifiers[i], max_iter)
            classifiers[i] = fitted
            total += accuracy(fitted(rest), target[held_out])
        accuracies[C] = total / len(splits)
        if len(accuracies) > PATIENCE and max([*accuracies.values()][-PATIENCE:]) < max(accuracies.values()):
            break
    return max(accuracies, key=lambda C: (accuracies[C], -C)), accuracies


def fit_scaled(features: Tensor, target: Tensor, num_classes: int, C: float) -> Classifier:
    """Fits a classifier to scaled features and returns the equal classifier of unscaled features.

    Args:
        features: Unscaled features (N, D).
        target: Classes, as in ``fit_logistic``.
        num_classes: Number of classes.
        C: Inverse strength of the regularization.

    Returns:
        A classifier of unscaled features.
    """
    scaling = Scaling.of(features)
    return scaling.fold_into(fit_logistic(scaling(features), target, num_classes, C))
