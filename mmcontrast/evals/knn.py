"""Classification by the votes of the nearest training images: features judged with nothing learned from labels.

Wu et al., Unsupervised Feature Learning via Non-Parametric Instance Discrimination, 2018, section 3.4; with the
settings of DINO (2104.14294): k in {10, 20, 100, 200}, temperature 0.07.  https://arxiv.org/abs/1805.01978
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch.nn.functional as F
from torch import Tensor

from mmcontrast.encoders.base import Encoder
from mmcontrast.errors import InputError
from mmcontrast.evals.confusion import confusion
from mmcontrast.evals.labeled import Data, Settings, embed_both
from mmcontrast.evals.ranking import topk_hits
from mmcontrast.ops.nearest import nearest
from mmcontrast.viz.accuracy_plots import Curve, draw_curves
from mmcontrast.viz.confusion import draw_confusion

KS = (10, 20, 100, 200)


def knn(
    encoder: Encoder,
    train: Data,
    test: Data,
    ks: Sequence[int] | None = None,
    temperature: float = 0.07,
    settings: Settings | None = None,
    out: Path | None = None,
) -> dict[str, Any]:
    """Accuracy of the weighted vote of the k nearest training images.

    Neighbors are found by cosine similarity s, and each adds exp(s / temperature) to its class.

    Args:
        encoder: any encoder, evaluated where it lies and left in the mode it was in.
        train: labeled images: a folder of class folders, shards with KEY.cls, or a data set.
        test: the same; its classes are among those of ``train``.
        ks: numbers of neighbors; None: those of 10, 20, 100 and 200 that the training set has.
        temperature: of the votes; 0.07 (DINO) or 0.1 (lightly, at k = 200).
        settings: how images are embedded.
        out: folder for accuracy_by_k.png and confusion.png.
    Returns:
        ``k`` {k: {"top1", "top5"}} in [0, 1] (equal votes count as a random order would have them), ``temperature``,
        ``n_train``, ``n_test``, ``unreadable``, ``classes``.
    Raises:
        InputError: more neighbors than training images, a temperature of 0 or less, or unusable data.
    """
    if temperature <= 0:
        raise InputError(f"temperature {temperature}: give a number above 0")
    if ks and min(ks) < 1:
        raise InputError(f"k {min(ks)}: give 1 or more")
    bank, queries = embed_both(encoder, train, test, settings or Settings())
    size = len(bank.vectors)
    ks = sorted(set(ks or [k for k in KS if k <= size] or [size]))
    if ks[-1] > size:
        raise InputError(f"k {ks[-1]} is more than the {size} training images; give smaller ones")
    classes = bank.images.classes
    device = encoder.mean.device
    unit = [F.normalize(part.vectors, dim=1) for part in (bank, queries)]
    cosine, places = nearest(unit[1].to(device), unit[0], ks[-1])  # (N, k)
    votes = vote(cosine, bank.labels.to(device)[places], len(classes), temperature, ks)
    target = queries.labels.to(device)
    figures = {k: {f"top{n}": topk_hits(v, target, n).mean().item() for n in (1, 5)} for k, v in votes.items()}
    if out:
        points = [figures[k]["top1"] for k in ks]
        draw_curves(
            [Curve(f"temperature {temperature:g}", ks, points)],
            out / "accuracy_by_k.png",
            "neighbors k",
            f"kNN, {size} training and {len(target)} test images",
        )
        shown = 20 if 20 in ks else ks[0]
        counts = confusion(target, votes[shown].argmax(1), len(classes)).cpu()
        draw_confusion(counts, classes, out / "confusion.png", f"kNN, k = {shown}: {figures[shown]['top1']:.1%} right")
    return {
        "k": {str(k): figure for k, figure in figures.items()},
        "temperature": temperature,
        "n_train": size,
        "n_test": len(target),
        "unreadable": bank.unreadable + queries.unreadable,
        "classes": len(classes),
    }


def vote(cosine: Tensor, labels: Tensor, classes: int, temperature: float, ks: Sequence[int]) -> dict[int, Tensor]:
    """Shares of the votes by class, from the first k neighbors for each k.

    Args:
        cosine: (N, K) similarities, best first, K at least the largest k.
        labels: (N, K) int64, classes of those neighbors.
        classes: C.
    Returns:
        {k: (N, C)}, each row of sum 1.
    """
    weights = ((cosine - cosine[:, :1]) / temperature).exp()  # the best has weight 1, whatever the temperature
    shares = {}
    for k in ks:
        votes = weights.new_zeros(len(weights), classes).scatter_add_(1, labels[:, :k], weights[:, :k])
        shares[k] = votes / votes.sum(1, keepdim=True)
    return shares
