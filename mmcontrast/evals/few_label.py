"""Accuracy from few labels, the encoder frozen or fine-tuned (SimCLR, 2002.05709, section 6; RotNet, 1803.07728)."""

from collections.abc import Sequence
from statistics import mean, stdev
from typing import Any

from torch import Tensor

from mmcontrast.encoders.base import Encoder
from mmcontrast.errors import InputError
from mmcontrast.evals.fine_tune import classify, fine_tune
from mmcontrast.evals.labeled_features import Data, FeatureSettings, LabeledFeatures, exclusions
from mmcontrast.evals.linear_probe import embed_blocks
from mmcontrast.evals.logistic import C_SWEEP, Classifier, accuracy, choose_C, fit_scaled
from mmcontrast.evals.results import EvalResult
from mmcontrast.evals.splits import stratified_folds, stratified_sample

FOLDS = 5


def few_label(
    encoder: Encoder,
    train: Data,
    test: Data,
    fractions: Sequence[float] = (0.01, 0.1),
    labels_per_class: Sequence[int] = (),
    num_seeds: int = 3,
    block: int | None = None,
    tune: bool = False,
    epochs: int = 30,
    lr: float = 3e-4,
    settings: FeatureSettings | None = None,
) -> EvalResult:
    """Measures the accuracy of classifiers that learn from few labels, over several stratified draws of the labels.

    Frozen: L-BFGS logistic regression, C chosen by cross-validation within the draw (1 if a class has one label).
    Fine-tuned: that classifier and the encoder then learn together from the same draw.

    Args:
        encoder: The encoder, evaluated on the device that it is on; it is not changed.
        train: Labeled images: a folder of class folders, shards with KEY.cls, or a data set.
        test: Labeled images whose classes are among those of ``train``.
        fractions: Fractions of the labels of each class; at least one label is drawn.
        labels_per_class: Numbers of labels of each class, in place of ``fractions``.
        num_seeds: Number of draws.
        block: Number of the block whose mean over the grid is the feature; None takes the pooled output.
        tune: Whether to fine-tune as well.
        epochs: Number of epochs of fine-tuning.
        lr: Learning rate of fine-tuning.
        settings: How images are embedded.

    Returns:
        ``metrics["per_fraction"]`` or ``metrics["per_labels_per_class"]`` holds for each amount ``num_labels``, and
        under ``frozen`` and ``fine_tuned`` the ``mean`` and ``std`` of top-1 and its value for each draw as ``runs``.
        ``std`` is the sample standard deviation, None for one draw.

    Raises:
        InputError: An option or the data cannot be used.
    """
    _check(fractions, labels_per_class, num_seeds, block, tune)
    settings = settings or FeatureSettings()
    blocks = None if block is None else [block]
    train_features, test_features, _ = embed_blocks(encoder, train, test, blocks, settings)
    amounts: dict[str, dict[str, Any]] = {}
    for amount in labels_per_class or fractions:
        top1: dict[str, list[float]] = {}
        for seed in range(num_seeds):
            labels = train_features.labels
            drawn = (
                stratified_sample(labels, per_class=int(amount), seed=seed)
                if labels_per_class
                else stratified_sample(labels, amount, seed=seed)
            )
            classifier, frozen = _frozen(encoder, train_features, test_features, drawn, seed)
            top1.setdefault("frozen", []).append(frozen)
            if tune:
                tuned = _tuned(encoder, classifier, train_features, test_features, drawn, epochs, lr, seed, settings)
                top1.setdefault("fine_tuned", []).append(tuned)
        summaries = {name: _summary(runs) for name, runs in top1.items()}
        amounts[f"{amount:g}"] = {"num_labels": len(drawn), **summaries}
    return EvalResult(
        metrics={"per_labels_per_class" if labels_per_class else "per_fraction": amounts},
        counts=exclusions(train_features, test_features),
        settings={"num_seeds": num_seeds, "block": block},
    )


def _frozen(
    encoder: Encoder, train: LabeledFeatures, test: LabeledFeatures, drawn: Tensor, seed: int
) -> tuple[Classifier, float]:
    """Returns the classifier of the drawn samples' frozen features and its test accuracy."""
    device, num_classes = encoder.mean.device, len(train.images.classes)
    x, y = train.vectors[drawn].to(device), train.labels[drawn].to(device)
    classifier = fit_scaled(x, y, num_classes, _best_C(x, y, num_classes, seed))
    return classifier, accuracy(classifier(test.vectors.to(device)), test.labels.to(device))


def _tuned(
    encoder: Encoder,
    classifier: Classifier,
    train: LabeledFeatures,
    test: LabeledFeatures,
    drawn: Tensor,
    epochs: int,
    lr: float,
    seed: int,
    settings: FeatureSettings,
) -> float:
    """Returns the test accuracy after the encoder was fine-tuned on the drawn samples."""
    model = fine_tune(
        encoder, classifier, train.images, train.indices[drawn], train.labels[drawn], epochs, lr, seed=seed
    )
    logits = classify(model, test.images, test.indices, settings.batch_size)
    return accuracy(logits, test.labels.to(logits.device))


def _check(
    fractions: Sequence[float], labels_per_class: Sequence[int], num_seeds: int, block: int | None, tune: bool
) -> None:
    if num_seeds < 1:
        raise InputError(f"{num_seeds} seeds: give 1 or more")
    if bad := [fraction for fraction in fractions if not 0 < fraction <= 1]:
        raise InputError(f"fraction {bad[0]}: give fractions above 0, at most 1, such as 0.01,0.1")
    if bad_counts := [count for count in labels_per_class if count < 1]:
        raise InputError(f"{bad_counts[0]} labels per class: give 1 or more")
    if not fractions and not labels_per_class:
        raise InputError("no fraction of the labels: give fractions, such as 0.01,0.1")
    if tune and block is not None:
        raise InputError("fine-tuning trains the whole encoder; leave the block out")


def _best_C(features: Tensor, labels: Tensor, num_classes: int, seed: int) -> float:
    num_folds = min(FOLDS, int(labels.bincount()[labels].min()))
    if num_folds < 2:
        return 1.0
    return choose_C(features, labels, num_classes, stratified_folds(labels, num_folds, seed), C_SWEEP[::2])[0]


def _summary(runs: list[float]) -> dict[str, Any]:
    return {"mean": mean(runs), "std": stdev(runs) if len(runs) > 1 else None, "runs": runs}
