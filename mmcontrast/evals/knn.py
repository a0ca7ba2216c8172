"""Classification by the votes of the nearest training images; nothing is learned from labels.

Wu et al., Unsupervised Feature Learning via Non-Parametric Instance Discrimination, 2018, section 3.4; with the
settings of DINO (2104.14294): k in {10, 20, 100, 200}, temperature 0.07.  https://arxiv.org/abs/1805.01978
"""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor

from mmcontrast.encoders.base import Encoder
from mmcontrast.errors import InputError
from mmcontrast.evals.labeled_features import Data, FeatureSettings, embed_train_and_test, exclusions
from mmcontrast.evals.ranking import topk_hits
from mmcontrast.evals.results import ConfusionMatrix, EvalResult, confusion_counts
from mmcontrast.ops.nearest import nearest

DEFAULT_KS = (10, 20, 100, 200)


def knn(
    encoder: Encoder,
    train: Data,
    test: Data,
    ks: Sequence[int] | None = None,
    temperature: float = 0.07,
    settings: FeatureSettings | None = None,
) -> EvalResult:
    """Measures the accuracy of the weighted vote of the k nearest training images.

    A neighbor with cosine similarity s adds exp(s / temperature) to the score of its class.

    Args:
        encoder: The encoder, evaluated on the device that it is on and left in the mode that it is in.
        train: Labeled images: a folder of class folders, shards with KEY.cls, or a data set.
        test: Labeled images whose classes are among those of ``train``.
        ks: Numbers of neighbors; None takes those of 10, 20, 100 and 200 that the training set has.
        temperature: Temperature of the votes: 0.07 in DINO, 0.1 in lightly at k = 200.
        settings: How images are embedded.

    Returns:
        ``metrics["per_k"]`` holds ``top1`` and ``top5`` for each k; tied votes count as a random order. The confusion
        matrix is that of k = 20 if it is among ``ks``, else of the smallest k.

    Raises:
        InputError: A k is below 1 or above the number of training images, the temperature is not above 0, or the data
            cannot be used.
    """
    if not temperature > 0:
        raise InputError(f"temperature {temperature}: give a number above 0")
    if ks and min(ks) < 1:
        raise InputError(f"k {min(ks)}: give 1 or more")
    bank, queries = embed_train_and_test(encoder, train, test, settings or FeatureSettings())
    size = len(bank.vectors)
    ks = sorted(set(ks or [k for k in DEFAULT_KS if k <= size] or [size]))
    if ks[-1] > size:
        raise InputError(f"k {ks[-1]} is more than the {size} training images; give smaller ones")
    device = encoder.mean.device
    class_names = bank.images.classes
    cosine, neighbors = nearest(
        F.normalize(queries.vectors, dim=1).to(device), F.normalize(bank.vectors, dim=1), ks[-1]
    )  # (N, k)
    votes = vote(cosine, bank.labels.to(device)[neighbors], len(class_names), temperature, ks)
    target = queries.labels.to(device)
    reference_k = 20 if 20 in ks else ks[0]
    confusion = confusion_counts(target, votes[reference_k].argmax(1), len(class_names)).cpu()
    return EvalResult(
        metrics={
            "per_k": {str(k): {f"top{n}": topk_hits(votes[k], target, n).mean().item() for n in (1, 5)} for k in ks}
        },
        counts=exclusions(bank, queries),
        settings={"temperature": temperature, "k": ks},
        confusion={f"k = {reference_k}": ConfusionMatrix(confusion, class_names)},
    )


def vote(cosine: Tensor, labels: Tensor, num_classes: int, temperature: float, ks: Sequence[int]) -> dict[int, Tensor]:
    """Computes the fraction of the votes that each class gets from the first k neighbors.

    Args:
        cosine: Similarities of the neighbors (N, K), the largest first; K is at least the largest k.
        labels: Classes of the neighbors (N, K) int64.
        num_classes: Number of classes C.
        temperature: Temperature of the votes.
        ks: Numbers of neighbors.

    Returns:
        Fractions (N, C) by k; each row sums to 1.
    """
    weights = ((cosine - cosine[:, :1]) / temperature).exp()  # the nearest has weight 1 at any temperature
    fractions = {}
    for k in ks:
        votes = weights.new_zeros(len(weights), num_classes).scatter_add_(1, labels[:, :k], weights[:, :k])
        fractions[k] = votes / votes.sum(1, keepdim=True)
    return fractions
