"""Linear classifiers on features of whole recordings: who speaks, and what is said (CPC, 1807.03748, section 3.1)."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from mmcontrast.data.datasets.audio import Sounds, read_wav
from mmcontrast.encoders.audio import WaveEncoder
from mmcontrast.errors import InputError
from mmcontrast.evals.logistic import accuracy, choose_C, fit_scaled
from mmcontrast.evals.splits import hold_out
from mmcontrast.inference.extract import evaluating
from mmcontrast.ops.mfcc import mfcc

Model = WaveEncoder | Callable[[Tensor], Tensor]
FSDD_TEST = {"take": tuple("01234")}  # its authors' test set


def sound_probe(
    sounds: Sounds,
    model: Model = mfcc,
    labels: Sequence[str] = ("speaker", "digit"),
    test: Mapping[str, Sequence[str]] = FSDD_TEST,
    seed: int = 0,
) -> dict[str, Any]:
    """Accuracy of logistic regression on the mean and the deviation over time of each recording's frames.

    The strength of the regularization is chosen on a fifth of the training recordings.

    Args:
        sounds: which recordings, at which rate, and how their names are read; each is heard as a whole.
        model: an encoder, whose contexts are judged, or a function (samples,) -> (T, D).
        labels: groups of the names to tell apart.
        test: groups of the names -> the values that make a recording one of the test set.
        seed: of the part that chooses.
    Returns:
        ``labels`` {label: {"top1", "classes", "C"}}, top1 in [0, 1], ``dim``, ``n_train``, ``n_test``.
    Raises:
        InputError: an unknown group, or one of the two sets is empty.
    """
    if unknown := {*labels, *test} - sounds.names[0].keys():
        raise InputError(f"{', '.join(sorted(unknown))}: no group of the names; they have {', '.join(sounds.names[0])}")
    tested = torch.tensor([all(names[key] in values for key, values in test.items()) for names in sounds.names])
    if tested.all() or not tested.any():
        given = "; ".join(f"{key}={','.join(values)}" for key, values in test.items())
        raise InputError(f"{int(tested.sum())} of {len(tested)} recordings are for the test ({given}); wanted a part")
    vectors = _vectors(sounds, model)  # (N, 2 D)
    found = {}
    for label in labels:
        classes = sorted({names[label] for names in sounds.names})
        target = torch.tensor([classes.index(names[label]) for names in sounds.names])
        x, y = vectors[~tested], target[~tested]
        C, _ = choose_C(x, y, len(classes), [hold_out(y, 0.2, seed)])
        right = accuracy(fit_scaled(x, y, len(classes), C)(vectors[tested]), target[tested])
        found[label] = {"top1": right, "classes": len(classes), "C": C}
    return {"labels": found, "dim": vectors.shape[1], "n_train": int((~tested).sum()), "n_test": int(tested.sum())}


def _vectors(sounds: Sounds, model: Model) -> Tensor:
    """(N, 2 D): mean and deviation over time of each recording."""
    if isinstance(model, WaveEncoder):
        device = next(model.parameters()).device
        with evaluating(model):
            return _pooled(sounds, lambda sound: model.context(model.frames(sound[None].to(device)))[0])
    return _pooled(sounds, model)


def _pooled(sounds: Sounds, frames: Callable[[Tensor], Tensor]) -> Tensor:
    rows = []
    for path in sounds.paths:
        found = frames(torch.from_numpy(read_wav(path, sounds.rate))).float()  # (T, D)
        rows.append(torch.cat([found.mean(0), found.std(0, correction=0)]).cpu())
    return torch.stack(rows)
