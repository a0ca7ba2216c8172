"""Linear classifiers on features of whole recordings: the speaker and the words (CPC, 1807.03748, section 3.1)."""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from mmcontrast.data.datasets.audio import Sounds, read_wav
from mmcontrast.encoders.audio import WaveEncoder
from mmcontrast.errors import InputError
from mmcontrast.evals.logistic import accuracy, choose_C, fit_scaled
from mmcontrast.evals.results import EvalResult
from mmcontrast.evals.splits import stratified_split
from mmcontrast.inference.extract import evaluating
from mmcontrast.ops.mfcc import mfcc

Model = WaveEncoder | Callable[[Tensor], Tensor]
FSDD_TEST = {"take": tuple("01234")}  # the test set that the authors of the Free Spoken Digit Dataset define


def sound_probe(
    sounds: Sounds,
    model: Model = mfcc,
    labels: Sequence[str] = ("speaker", "digit"),
    test: Mapping[str, Sequence[str]] = FSDD_TEST,
    seed: int = 0,
) -> EvalResult:
    """Measures logistic regression on the mean and standard deviation over time of each recording's frames.

    The strength of the regularization is chosen on a fifth of the training recordings.

    Args:
        sounds: The recordings, their rate, and how their names are read; each is used as a whole.
        model: An encoder, whose contexts are the features, or a function from samples (T',) to frames (T, D).
        labels: Groups of the file names to classify by.
        test: Values of groups of the file names; a recording with these values belongs to the test set.
        seed: Seed of the held-out part on which the regularization is chosen.

    Returns:
        ``metrics["per_label"]`` holds ``top1``, ``num_classes`` and ``C`` for each label.

    Raises:
        InputError: A group does not exist, or the training set or the test set is empty.
    """
    if unknown := {*labels, *test} - sounds.names[0].keys():
        raise InputError(f"{', '.join(sorted(unknown))}: no group of the names; they have {', '.join(sounds.names[0])}")
    is_test = torch.tensor([all(names[key] in values for key, values in test.items()) for names in sounds.names])
    if is_test.all() or not is_test.any():
        choice = "; ".join(f"{key}={','.join(values)}" for key, values in test.items())
        raise InputError(
            f"{int(is_test.sum())} of {len(is_test)} recordings are for the test ({choice}); choose a part of them"
        )
    vectors = _vectors(sounds, model)  # (N, 2 D)
    figures = {}
    for label in labels:
        class_names = sorted({names[label] for names in sounds.names})
        target = torch.tensor([class_names.index(names[label]) for names in sounds.names])
        x, y = vectors[~is_test], target[~is_test]
        C, _ = choose_C(x, y, len(class_names), [stratified_split(y, 0.2, seed)])
        top1 = accuracy(fit_scaled(x, y, len(class_names), C)(vectors[is_test]), target[is_test])
        figures[label] = {"top1": top1, "num_classes": len(class_names), "C": C}
    return EvalResult(
        metrics={"per_label": figures},
        counts={"num_train": int((~is_test).sum()), "num_test": int(is_test.sum())},
        settings={"dim": vectors.shape[1]},
    )


def _vectors(sounds: Sounds, model: Model) -> Tensor:
    """Computes the mean and standard deviation over time of each recording, (N, 2 D)."""
    if isinstance(model, WaveEncoder):
        device = next(model.parameters()).device
        with evaluating(model):
            return _pooled(sounds, lambda sound: model.context(model.frames(sound[None].to(device)))[0])
    return _pooled(sounds, model)


def _pooled(sounds: Sounds, frames_of: Callable[[Tensor], Tensor]) -> Tensor:
    rows = []
    for path in sounds.paths:
        frames = frames_of(torch.from_numpy(read_wav(path, sounds.rate))).float()  # (T, D)
        rows.append(torch.cat([frames.mean(0), frames.std(0, correction=0)]).cpu())
    return torch.stack(rows)
