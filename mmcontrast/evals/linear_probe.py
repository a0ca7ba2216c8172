"""A linear classifier on frozen features, of the pooled output or of any block of an encoder.

Three protocols:

* ``lbfgs``: L-BFGS logistic regression on features of center crops, with a sweep of C chosen on held-out training
  images (CLIP, 2103.00020, appendix A.3).
* ``sgd``: SGD on features of center crops. It is cheap and has no counterpart in a paper: published SGD probes train
  on augmented images.
* ``augmented``: SGD on features of random crops and mirror images with a sweep of learning rates; see
  ``augmented_probe``.
"""

from collections.abc import Sequence
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmcontrast.encoders.base import Encoder
from mmcontrast.errors import InputError
from mmcontrast.evals.augmented_probe import LR_SWEEP, fit_augmented
from mmcontrast.evals.labeled_features import Data, FeatureSettings, LabeledFeatures, embed_train_and_test, exclusions
from mmcontrast.evals.logistic import C_SWEEP, Classifier, Scaling, accuracy, choose_C, fit_scaled
from mmcontrast.evals.results import ConfusionMatrix, EvalResult, confusion_counts
from mmcontrast.evals.splits import stratified_split
from mmcontrast.inference.extract import evaluating

Protocol = Literal["lbfgs", "sgd", "augmented"]
PROTOCOLS = ("lbfgs", "sgd", "augmented")
Blocks = Literal["all"] | Sequence[int] | None


class BlockMeans(nn.Module):
    """The means of chosen blocks over their grids, side by side.

    Args:
        encoder: The encoder.
        blocks: Numbers of its blocks.
    """

    def __init__(self, encoder: Encoder, blocks: Sequence[int]) -> None:
        super().__init__()
        self.encoder, self.block_numbers = encoder, list(blocks)

    def extra_repr(self) -> str:
        """Returns the choice of blocks, which is part of the key of cached features."""
        return f"blocks={self.block_numbers}"

    def forward(self, image: Tensor) -> Tensor:
        """Maps images (B, 3, S, S) in [0, 1] to features (B, sum of D_i); the encoder runs once."""
        features = self.encoder.blocks(image)
        return torch.cat([features[i].mean((2, 3)) for i in self.block_numbers], 1)


def linear_probe(
    encoder: Encoder,
    train: Data,
    test: Data,
    blocks: Blocks = None,
    protocol: Protocol = "lbfgs",
    C_sweep: Sequence[float] = C_SWEEP,
    lr_sweep: Sequence[float] = LR_SWEEP,
    held_out_fraction: float = 0.2,
    epochs: int = 100,
    seed: int = 0,
    settings: FeatureSettings | None = None,
) -> EvalResult:
    """Measures the accuracy of linear classifiers on frozen features.

    With "lbfgs" and "sgd" each feature is scaled to mean 0 and variance 1 over the training set. With "lbfgs", C is
    chosen on a stratified part of ``train``, then the classifier is fitted to all of it. The test set decides nothing.

    The function is long because it holds the three protocols side by side.

    Args:
        encoder: The encoder, evaluated on the device that it is on and left in the mode that it is in.
        train: Labeled images: a folder of class folders, shards with KEY.cls, or a data set.
        test: Labeled images whose classes are among those of ``train``.
        blocks: Numbers of the encoder's blocks (negative ones count from the last), or "all"; None takes its pooled
            output.
        protocol: "lbfgs", "sgd" or "augmented".
        C_sweep: Values of C, for "lbfgs".
        lr_sweep: Learning rates for a batch of 256 images, for "augmented".
        held_out_fraction: Fraction of ``train`` on which C or the learning rate is chosen.
        epochs: Number of epochs, for "sgd" and "augmented".
        seed: Seed of the held-out part, of the order and of the augmentation.
        settings: How images are embedded.

    Returns:
        ``metrics["per_feature"]`` holds for "pooled", or for each "block i": ``top1``, ``top5``, ``train_top1``,
        ``dim``; with "lbfgs" also ``C`` and ``validation``, the accuracy by value of C; with "augmented" also ``lr``,
        ``validation`` and ``per_lr``, the test accuracy by learning rate. The confusion matrix is that of the feature
        with the best accuracy.

    Raises:
        InputError: An option or the data cannot be used.
    """
    if protocol not in PROTOCOLS:
        raise InputError(f"protocol {protocol!r}: choose one of {', '.join(PROTOCOLS)}")
    if not 0 < held_out_fraction < 1:
        raise InputError(f"held-out fraction {held_out_fraction}: give a number between 0 and 1")
    settings = settings or FeatureSettings()
    train_features, test_features, widths = embed_blocks(encoder, train, test, blocks, settings)
    device = encoder.mean.device
    y, target = train_features.labels.to(device), test_features.labels.to(device)
    class_names = train_features.images.classes
    num_classes = len(class_names)
    if len(y.unique()) < 2:
        raise InputError("all training images are of one class; a classifier needs two")
    x_parts = train_features.vectors.to(device).split(list(widths.values()), 1)
    z_parts = test_features.vectors.to(device).split(list(widths.values()), 1)
    split = stratified_split(y, held_out_fraction, seed)
    choices: list[dict[str, Any]] = [{} for _ in widths]
    if protocol == "augmented":
        embed = encoder if blocks is None else _block_means(encoder, widths)
        widths_list = list(widths.values())
        probes = fit_augmented(encoder, embed, train_features, widths_list, lr_sweep, split, epochs, seed=seed)
        classifiers = [probe.classifier for probe in probes]
        choices = [probe.summary(z, target) for probe, z in zip(probes, z_parts, strict=True)]
    elif protocol == "sgd":
        classifiers = [fit_sgd(x, y, num_classes, epochs, seed=seed) for x in x_parts]
    else:
        choices = [_choose_C(x, y, num_classes, split, C_sweep) for x in x_parts]
        classifiers = [fit_scaled(x, y, num_classes, c["C"]) for x, c in zip(x_parts, choices, strict=True)]
    figures: dict[str, dict[str, Any]] = {}
    logits = {}
    parts = zip(widths.items(), x_parts, z_parts, classifiers, choices, strict=True)
    for (name, width), x, z, classifier, choice in parts:
        logits[name] = classifier(z)
        figures[name] = {
            "top1": accuracy(logits[name], target),
            "top5": accuracy(logits[name], target, 5),
            "train_top1": accuracy(classifier(x), y),
            "dim": width,
            **choice,
        }
    best = max(figures, key=lambda name: figures[name]["top1"])
    confusion = confusion_counts(target, logits[best].argmax(1), num_classes).cpu()
    return EvalResult(
        metrics={"per_feature": figures},
        counts=exclusions(train_features, test_features),
        settings={"protocol": protocol, "seed": seed},
        confusion={best: ConfusionMatrix(confusion, class_names)},
    )


def embed_blocks(
    encoder: Encoder, train: Data, test: Data, blocks: Blocks, settings: FeatureSettings
) -> tuple[LabeledFeatures, LabeledFeatures, dict[str, int]]:
    """Embeds a training and a test set by the pooled output, or by blocks side by side.

    Args:
        encoder: The encoder.
        train: Labeled images.
        test: Labeled images whose classes are among those of ``train``.
        blocks: Numbers of blocks, or "all"; None takes the pooled output.
        settings: How images are embedded.

    Returns:
        The training features, the test features, and the width of each feature by name.

    Raises:
        InputError: The encoder has no such block, or the data cannot be used.
    """
    if blocks is None:
        both = embed_train_and_test(encoder, train, test, settings)
        return *both, {"pooled": both[0].vectors.shape[1]}
    size = settings.resolution or encoder.image_size
    with evaluating(encoder):
        outputs = encoder.blocks(torch.zeros(1, 3, size, size, device=encoder.mean.device))
    count = len(outputs)
    numbers = range(count) if blocks == "all" else [int(i) + count * (int(i) < 0) for i in blocks]
    if bad := [i for i in numbers if not 0 <= i < count]:
        raise InputError(f"block {bad[0]}: this encoder has blocks 0 to {count - 1}")
    widths = {f"block {i}": outputs[i].shape[1] for i in dict.fromkeys(numbers)}
    return *embed_train_and_test(encoder, train, test, settings, _block_means(encoder, widths)), widths


def _block_means(encoder: Encoder, widths: dict[str, int]) -> BlockMeans:
    return BlockMeans(encoder, [int(name.split()[1]) for name in widths])


def _choose_C(
    x: Tensor, y: Tensor, num_classes: int, split: tuple[Tensor, Tensor], sweep: Sequence[float]
) -> dict[str, Any]:
    C, validation = choose_C(x, y, num_classes, [split], sweep)
    return {"C": C, "validation": {f"{value:.3g}": top1 for value, top1 in validation.items()}}


def fit_sgd(
    features: Tensor, target: Tensor, num_classes: int, epochs: int = 100, batch_size: int = 256, seed: int = 0
) -> Classifier:
    """Fits a linear classifier to scaled features by SGD; the last epoch counts.

    The learning rate is 0.1 times batch / 256 and follows a cosine; momentum is 0.9; there is no weight decay.

    Args:
        features: Unscaled features (N, D).
        target: Classes (N,) int64.
        num_classes: Number of classes.
        epochs: Number of epochs.
        batch_size: Number of samples in a batch, at most N.
        seed: Seed of the initial weights and of the order.

    Returns:
        A classifier of unscaled features.
    """
    scaling = Scaling.of(features)
    generator = torch.Generator().manual_seed(seed)
    head = nn.Linear(features.shape[1], num_classes, device=features.device)
    with torch.no_grad():  # initial weights from N(0, 0.01)
        head.weight.copy_(0.01 * torch.randn(head.weight.shape, generator=generator))
        head.bias.zero_()
    batch_size = min(batch_size, len(features))
    optimizer = torch.optim.SGD(head.parameters(), lr=0.1 * batch_size / 256, momentum=0.9)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    for _ in range(epochs):
        order = torch.randperm(len(features), generator=generator).to(features.device)
        for batch in order.split(batch_size):
            loss = F.cross_entropy(head(scaling(features[batch])), target[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        schedule.step()
    return scaling.fold_into(Classifier(head.weight.detach(), head.bias.detach()))
