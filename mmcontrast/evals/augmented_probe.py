"""A linear classifier learned on features of augmented images, the protocol of most published figures.

The frozen encoder sees random crops (area 0.08 to 1) and mirror images, anew in every epoch. A linear layer learns for
100 epochs by SGD with momentum 0.9, batch 256 and no weight decay; its learning rate follows a cosine, as in DINO
(2104.14294). MoCo (1911.05722, section 4.1) uses the same crops with rate 30, divided by 10 at epochs 60 and 80.
As in DINOv2 (2304.07193), several learning rates are learned side by side on the same features. These papers choose the
learning rate on the images that they report; here held-out training images choose it, and are not learned from.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from mmcontrast.data.datasets.images import Images, Pixels
from mmcontrast.data.sampler import SampleKey
from mmcontrast.encoders.base import Encoder
from mmcontrast.errors import InputError
from mmcontrast.evals.labeled_features import LabeledFeatures
from mmcontrast.evals.logistic import Classifier, accuracy
from mmcontrast.inference.extract import evaluating
from mmcontrast.inference.image_batches import read_ahead, to_float
from mmcontrast.ops.random import uniform

LR_SWEEP = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0)  # for a batch of 256 images
MIN_AREA = 0.08  # the smallest area of a random region, as a fraction of the image
FLIP_STREAM = 1  # the random stream that decides which images are mirrored


@dataclass(frozen=True)
class SweptProbe:
    """Linear classifiers of one feature, one per learning rate.

    Attributes:
        classifiers: The classifiers by learning rate.
        validation: The accuracy of each on held-out training images, in [0, 1]; empty for one learning rate.
    """

    classifiers: dict[float, Classifier]
    validation: dict[float, float]

    @property
    def lr(self) -> float:
        """The smallest learning rate among those with the best accuracy on held-out images."""
        return max(self.classifiers, key=lambda lr: (self.validation.get(lr, 0.0), -lr))

    @property
    def classifier(self) -> Classifier:
        """The classifier that was learned with ``lr``."""
        return self.classifiers[self.lr]

    def summary(self, features: Tensor, target: Tensor) -> dict[str, Any]:
        """Returns the chosen learning rate, the validation accuracies and the test accuracy by learning rate.

        Args:
            features: Test features (N, D).
            target: Test classes (N,) int64.

        Returns:
            ``lr``, ``validation`` and ``per_lr``.
        """
        return {
            "lr": self.lr,
            "validation": {f"{lr:g}": top1 for lr, top1 in self.validation.items()},
            "per_lr": {f"{lr:g}": accuracy(fit(features), target) for lr, fit in self.classifiers.items()},
        }


def fit_augmented(
    encoder: Encoder,
    embed: Callable[[Tensor], Tensor],
    train: LabeledFeatures,
    widths: Sequence[int],
    lr_sweep: Sequence[float] = LR_SWEEP,
    split: tuple[Tensor, Tensor] | None = None,
    epochs: int = 100,
    batch_size: int = 256,
    seed: int = 0,
) -> list[SweptProbe]:
    """Learns linear classifiers on features of randomly cropped and mirrored training images.

    With one learning rate all training images are learned from. With several, the held-out images are not: they choose.

    Args:
        encoder: The encoder, frozen and in evaluation mode.
        embed: A function from images (B, 3, S, S) in [0, 1] to features (B, D), such as the encoder itself.
        train: The training images, their classes and the features of their center crops.
        widths: Widths that D is divided into; each part gets classifiers of its own.
        lr_sweep: Learning rates for a batch of 256 images; they scale with the batch.
        split: Indices of the samples to fit on and of the held-out samples, among those of ``train``.
        epochs: Number of epochs.
        batch_size: Number of images in a batch.
        seed: Seed of the order and of the augmentation.

    Returns:
        The classifiers of each part, in the order of ``widths``.

    Raises:
        InputError: A learning rate is not above 0, there is none, or an image can no longer be read.
    """
    if not lr_sweep or not min(lr_sweep) > 0:
        raise InputError(f"learning rates {list(lr_sweep)}: give numbers above 0")
    rates = sorted(set(lr_sweep))
    device = encoder.mean.device
    everything = torch.arange(len(train.labels))
    fitted, held_out = (part.cpu() for part in split) if split and len(rates) > 1 else (everything, everything[:0])
    generator = torch.Generator().manual_seed(seed)
    heads = _Heads(widths, rates, len(train.images.classes), generator, device)
    size = min(batch_size, len(fitted))
    for epoch in range(epochs):
        factor = 0.5 * (1 + math.cos(math.pi * epoch / epochs)) * size / 256
        order = fitted[torch.randperm(len(fitted), generator=generator)]
        for image, batch in _augmented_batches(train.images, train.indices, order, size, epoch, seed):
            with evaluating(encoder):
                features = embed(to_float(image, device)).float()
            heads.step(features.clone(), train.labels[batch].to(device), factor)  # a clone, out of inference mode
    y, center = train.labels[held_out].to(device), train.vectors[held_out].to(device)
    probes = []
    for x, classifiers in zip(center.split(list(widths), 1), heads.classifiers(), strict=True):
        validation = {lr: accuracy(fit(x), y) for lr, fit in classifiers.items()} if len(y) else {}
        probes.append(SweptProbe(classifiers, validation))
    return probes


class _Heads:
    """Linear classifiers of each part of the features and each learning rate, learned together by SGD."""

    def __init__(
        self,
        widths: Sequence[int],
        rates: Sequence[float],
        num_classes: int,
        generator: torch.Generator,
        device: torch.device,
    ) -> None:
        self.widths, self.rates = list(widths), rates
        initial = [0.01 * torch.randn(width, num_classes, generator=generator).to(device) for width in widths]
        self.weights = [weight.repeat(len(rates), 1, 1).requires_grad_() for weight in initial]  # (R, D_i, C)
        self.biases = [weight.new_zeros(len(rates), 1, num_classes, requires_grad=True) for weight in initial]
        self.parameters = [*self.weights, *self.biases]
        self.velocities = [torch.zeros_like(parameter) for parameter in self.parameters]

    def step(self, features: Tensor, target: Tensor, factor: float) -> None:
        """Takes one step on features (B, sum of D_i) and classes (B,); the learning rates are multiplied by factor."""
        parts = features.split(self.widths, 1)
        logits = [(x @ w + b).flatten(0, 1) for x, w, b in zip(parts, self.weights, self.biases, strict=True)]
        repeated = target.repeat(len(self.rates))  # logits are (R B, C)
        losses = [F.cross_entropy(part, repeated, reduction="sum") / len(target) for part in logits]
        gradients = torch.autograd.grad(torch.stack(losses).sum(), self.parameters)
        lr = factor * torch.tensor(self.rates, device=features.device).view(-1, 1, 1)
        with torch.no_grad():
            for parameter, velocity, gradient in zip(self.parameters, self.velocities, gradients, strict=True):
                velocity.mul_(0.9).add_(gradient)
                parameter.sub_(lr * velocity)

    def classifiers(self) -> list[dict[float, Classifier]]:
        """Returns the classifiers of each part by learning rate."""
        return [
            {lr: Classifier(w[i].detach().T.contiguous(), b[i, 0].detach()) for i, lr in enumerate(self.rates)}
            for w, b in zip(self.weights, self.biases, strict=True)
        ]


def _augmented_batches(
    images: Images, indices: Tensor, order: Tensor, batch_size: int, epoch: int, seed: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yields batches of augmented images (B, 3, S, S) uint8 and their positions among the training samples."""
    fixed = images.pixels
    pixels = Pixels(fixed.samples, fixed.size, "random", (MIN_AREA, 1.0), fixed.interpolation)
    read = lambda position: pixels(SampleKey(int(indices[position]), epoch, seed))
    batches = zip(read_ahead(read, order.tolist(), batch_size), order.split(batch_size), strict=True)
    for (image, errors), batch in batches:
        if broken := [error for error in errors if error]:
            raise InputError(f"{broken[0]}; the image could be read before")
        keys = torch.tensor([SampleKey(int(indices[i]), epoch, seed).to_int() for i in batch])
        mirrored = uniform(keys, 1, FLIP_STREAM)[:, 0] < 0.5
        yield torch.where(mirrored[:, None, None, None], image.flip(3), image), batch
