"""Accuracy from few labels, the encoder frozen or fine-tuned (SimCLR, 2002.05709, section 6; RotNet, 1803.07728)."""

from collections.abc import Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from torch import Tensor

from mmcontrast.encoders.base import Encoder
from mmcontrast.errors import InputError
from mmcontrast.evals.fine_tune import classify, fine_tune
from mmcontrast.evals.labeled import Data, Settings
from mmcontrast.evals.linear_probe import embed_blocks
from mmcontrast.evals.logistic import SWEEP, accuracy, choose_C, fit_scaled
from mmcontrast.evals.splits import draw, folds
from mmcontrast.viz.accuracy_plots import Curve, draw_curves

FOLDS = 5


def few_label(
    encoder: Encoder,
    train: Data,
    test: Data,
    fractions: Sequence[float] = (0.01, 0.1),
    per_class: Sequence[int] = (),
    seeds: int = 3,
    block: int | None = None,
    tune: bool = False,
    epochs: int = 30,
    lr: float = 3e-4,
    settings: Settings | None = None,
    out: Path | None = None,
) -> dict[str, Any]:
    """Test accuracy of classifiers that learn from a stratified share of the labels, over several draws of it.

    Frozen: L-BFGS logistic regression, C chosen by cross-validation within the draw (1 where a class has one label).
    Fine-tuned: that classifier and the encoder go on learning from the same draw.

    Args:
        encoder: any encoder, evaluated where it lies and left as it is.
        train: labeled images: a folder of class folders, shards with KEY.cls, or a data set.
        test: the same; its classes are among those of ``train``.
        fractions: shares of the labels of each class, at least one label.
        per_class: numbers of labels of each class; they take the place of ``fractions``.
        seeds: draws.
        block: the block whose mean over the grid is the feature; None: the pooled face.
        tune: fine-tune as well.
        epochs: of fine-tuning.
        lr: of fine-tuning.
        settings: how images are embedded.
        out: folder for accuracy_by_labels.png.
    Returns:
        ``fractions`` or ``per_class`` {amount: {"labels": number, "frozen": {"mean", "std", "runs"}, "fine_tuned": the
        same}} of top-1 in [0, 1]; "std" is the sample standard deviation, None for one seed.  Also ``seeds``,
        ``n_train``, ``n_test``, ``unreadable``, ``classes``.
    """
    _check(fractions, per_class, seeds, block, tune)
    settings = settings or Settings()
    blocks = None if block is None else [block]
    fitting, testing, _ = embed_blocks(encoder, train, test, blocks, settings)
    device = encoder.mean.device
    x, y = fitting.vectors.to(device), fitting.labels.to(device)
    z, target = testing.vectors.to(device), testing.labels.to(device)
    classes = len(fitting.images.classes)
    amounts: dict[str, dict[str, Any]] = {}
    for amount in per_class or fractions:
        runs: dict[str, list[float]] = {name: [] for name in ("frozen", "fine_tuned")[: 1 + tune]}
        for seed in range(seeds):
            places = draw(y, per_class=int(amount), seed=seed) if per_class else draw(y, amount, seed=seed)
            labels = y[places]
            classifier = fit_scaled(x[places], labels, classes, _best_C(x[places], labels, classes, seed))
            runs["frozen"].append(accuracy(classifier(z), target))
            if tune:
                chosen = fitting.places[places.cpu()]
                model = fine_tune(encoder, classifier, fitting.images, chosen, labels, epochs, lr, seed=seed)
                logits = classify(model, testing.images, testing.places, settings.batch_size)
                runs["fine_tuned"].append(accuracy(logits, target))
        amounts[f"{amount:g}"] = {"labels": len(places), **{name: _summary(values) for name, values in runs.items()}}
    if out:
        _draw(amounts, out / "accuracy_by_labels.png", len(target), seeds)
    return {
        "per_class" if per_class else "fractions": amounts,
        "seeds": seeds,
        "n_train": len(y),
        "n_test": len(target),
        "unreadable": fitting.unreadable + testing.unreadable,
        "classes": classes,
    }


def _check(fractions: Sequence[float], per_class: Sequence[int], seeds: int, block: int | None, tune: bool) -> None:
    if seeds < 1:
        raise InputError(f"{seeds} seeds: give 1 or more")
    if bad := [fraction for fraction in fractions if not 0 < fraction <= 1]:
        raise InputError(f"fraction {bad[0]}: give shares above 0, at most 1, such as 0.01,0.1")
    if bad := [count for count in per_class if count < 1]:
        raise InputError(f"{bad[0]} labels per class: give 1 or more")
    if not fractions and not per_class:
        raise InputError("no share of labels: give fractions, such as 0.01,0.1")
    if tune and block is not None:
        raise InputError("fine-tuning is of the whole encoder; leave the block out")


def _best_C(features: Tensor, labels: Tensor, classes: int, seed: int) -> float:
    count = min(FOLDS, int(labels.bincount()[labels].min()))
    if count < 2:
        return 1.0
    return choose_C(features, labels, classes, folds(labels, count, seed), SWEEP[::2])[0]


def _summary(runs: list[float]) -> dict[str, Any]:
    return {"mean": mean(runs), "std": stdev(runs) if len(runs) > 1 else None, "runs": runs}


def _draw(amounts: dict[str, dict[str, Any]], file: Path, tested: int, seeds: int) -> None:
    curves = []
    for name in ("frozen", "fine_tuned"):
        if found := [(amount["labels"], amount[name]) for amount in amounts.values() if name in amount]:
            labels = [count for count, _ in found]
            deviations = [summary["std"] or 0.0 for _, summary in found]
            curves.append(Curve(name.replace("_", "-"), labels, [s["mean"] for _, s in found], deviations))
    draw_curves(curves, file, "labels", f"{tested} test images, mean and deviation of {seeds} draws")
