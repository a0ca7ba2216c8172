"""A linear classifier on frozen features, of the pooled face or of any block of an encoder.

Two protocols: L-BFGS logistic regression with a sweep of C chosen on a part of the training set (CLIP, 2103.00020,
appendix A.3; DINOv2, 2304.07193), and SGD for 100 epochs whose last epoch counts (MoCo, 1911.05722; DINO, 2104.14294).
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmcontrast.encoders.base import Encoder
from mmcontrast.errors import InputError
from mmcontrast.evals.confusion import confusion
from mmcontrast.evals.labeled import Data, Labeled, Settings, embed_both
from mmcontrast.evals.logistic import SWEEP, Classifier, Scaling, accuracy, choose_C, fit_scaled
from mmcontrast.evals.splits import hold_out
from mmcontrast.inference.extract import evaluating
from mmcontrast.viz.accuracy_plots import Curve, draw_curves
from mmcontrast.viz.confusion import draw_confusion

Protocol = Literal["lbfgs", "sgd"]
Blocks = Literal["all"] | Sequence[int] | None


class BlockMeans(nn.Module):
    """(B, 3, S, S) in [0, 1] -> the mean of each chosen block over its grid, side by side: (B, sum D_i)."""

    def __init__(self, encoder: Encoder, blocks: Sequence[int]) -> None:
        super().__init__()
        self.encoder, self.chosen = encoder, list(blocks)

    def extra_repr(self) -> str:
        """The choice, which the cache of features goes by."""
        return f"blocks={self.chosen}"

    def forward(self, image: Tensor) -> Tensor:
        """Runs the encoder once."""
        features = self.encoder.blocks(image)
        return torch.cat([features[i].mean((2, 3)) for i in self.chosen], 1)


def linear_probe(
    encoder: Encoder,
    train: Data,
    test: Data,
    blocks: Blocks = None,
    protocol: Protocol = "lbfgs",
    sweep: Sequence[float] = SWEEP,
    held_out: float = 0.2,
    epochs: int = 100,
    seed: int = 0,
    settings: Settings | None = None,
    out: Path | None = None,
) -> dict[str, Any]:
    """Accuracy of linear classifiers on features that stay as they are.

    Features are scaled to mean 0 and variance 1 over the training set.  With "lbfgs", C is chosen on a stratified part
    of ``train``, then the classifier is fitted to all of it; ``test`` is looked at once.

    Args:
        encoder: any encoder, evaluated where it lies and left in the mode it was in.
        train: labeled images: a folder of class folders, shards with KEY.cls, or a data set.
        test: the same; its classes are among those of ``train``.
        blocks: numbers of the encoder's blocks (negative ones count from the last), or "all"; None: its pooled face.
        protocol: "lbfgs", or "sgd" (rate 0.1, momentum 0.9, batch 256, no decay, cosine).
        sweep: values of C.
        held_out: share of ``train`` that chooses C.
        epochs: of SGD.
        seed: of the held-out part, and of SGD's order.
        settings: how images are embedded.
        out: folder for confusion.png and for accuracy_by_C.png and accuracy_by_block.png.
    Returns:
        ``features`` {"pooled" or "block i": {"top1", "top5", "train_top1", "dim", and with lbfgs "C", "validation"}} in
        [0, 1], ``protocol``, ``seed``, ``n_train``, ``n_test``, ``unreadable``, ``classes``.
    """
    if protocol not in ("lbfgs", "sgd"):
        raise InputError(f"protocol {protocol!r}: choose lbfgs or sgd")
    if not 0 < held_out < 1:
        raise InputError(f"held-out share {held_out}: give a number between 0 and 1")
    fitting, testing, widths = embed_blocks(encoder, train, test, blocks, settings or Settings())
    device = encoder.mean.device
    y, target = fitting.labels.to(device), testing.labels.to(device)
    classes = fitting.images.classes
    if len(y.unique()) < 2:
        raise InputError("all training images are of one class; a classifier needs two")
    figures: dict[str, dict[str, Any]] = {}
    best = -1.0
    for (name, width), x, z in zip(
        widths.items(),
        fitting.vectors.split(list(widths.values()), 1),
        testing.vectors.split(list(widths.values()), 1),
        strict=True,
    ):
        x, z = x.to(device), z.to(device)
        figure: dict[str, Any] = {"dim": width}
        if protocol == "lbfgs":
            C, curve = choose_C(x, y, len(classes), [hold_out(y, held_out, seed)], sweep)
            figure |= {"C": C, "validation": {f"{value:.3g}": share for value, share in curve.items()}}
            classifier = fit_scaled(x, y, len(classes), C)
        else:
            classifier = fit_sgd(x, y, len(classes), epochs, seed=seed)
        logits = classifier(z)
        figures[name] = {
            "top1": accuracy(logits, target),
            "top5": accuracy(logits, target, 5),
            "train_top1": accuracy(classifier(x), y),
            **figure,
        }
        if out and figures[name]["top1"] > best:
            best = figures[name]["top1"]
            counts = confusion(target, logits.argmax(1), len(classes)).cpu()
            draw_confusion(counts, classes, out / "confusion.png", f"Linear probe, {name}: {best:.1%} right")
    if out:
        _draw(figures, out, f"Linear probe, {len(y)} training and {len(target)} test images")
    return {
        "features": figures,
        "protocol": protocol,
        "seed": seed,
        "n_train": len(y),
        "n_test": len(target),
        "unreadable": fitting.unreadable + testing.unreadable,
        "classes": len(classes),
    }


def embed_blocks(
    encoder: Encoder, train: Data, test: Data, blocks: Blocks, settings: Settings
) -> tuple[Labeled, Labeled, dict[str, int]]:
    """Training and test features of the pooled face or of blocks side by side, and the width of each."""
    if blocks is None:
        both = embed_both(encoder, train, test, settings)
        return *both, {"pooled": both[0].vectors.shape[1]}
    size = settings.image_size or encoder.image_size
    with evaluating(encoder):
        found = encoder.blocks(torch.zeros(1, 3, size, size, device=encoder.mean.device))
    count = len(found)
    chosen = range(count) if blocks == "all" else [int(i) + count * (int(i) < 0) for i in blocks]
    if bad := [i for i in chosen if not 0 <= i < count]:
        raise InputError(f"block {bad[0]}: this encoder has blocks 0 to {count - 1}")
    widths = {f"block {i}": found[i].shape[1] for i in dict.fromkeys(chosen)}
    means = BlockMeans(encoder, list(dict.fromkeys(chosen)))
    return *embed_both(encoder, train, test, settings, means), widths


def fit_sgd(
    features: Tensor, target: Tensor, classes: int, epochs: int = 100, batch_size: int = 256, seed: int = 0
) -> Classifier:
    """SGD on (N, D) features: rate 0.1 times batch / 256, momentum 0.9, no decay, cosine; the last epoch counts."""
    scaling = Scaling.of(features)
    generator = torch.Generator().manual_seed(seed)
    head = nn.Linear(features.shape[1], classes, device=features.device)
    with torch.no_grad():  # the usual start, N(0, 0.01)
        head.weight.copy_(0.01 * torch.randn(head.weight.shape, generator=generator))
        head.bias.zero_()
    batch_size = min(batch_size, len(features))
    optimizer = torch.optim.SGD(head.parameters(), lr=0.1 * batch_size / 256, momentum=0.9)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    for _ in range(epochs):
        order = torch.randperm(len(features), generator=generator).to(features.device)
        for places in order.split(batch_size):
            loss = F.cross_entropy(head(scaling(features[places])), target[places])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        schedule.step()
    return scaling.folded(Classifier(head.weight.detach(), head.bias.detach()))


def _draw(figures: dict[str, dict[str, Any]], out: Path, title: str) -> None:
    sweeps = [
        Curve(name, [float(C) for C in figure["validation"]], list(figure["validation"].values()))
        for name, figure in figures.items()
        if "validation" in figure
    ]
    if sweeps:
        draw_curves(sweeps, out / "accuracy_by_C.png", "C", "Accuracy on the held-out part of the training set")
    if len(figures) > 1:
        places = [int(name.split()[1]) for name in figures]
        curves = [Curve("test, top 1", places, [figure["top1"] for figure in figures.values()])]
        draw_curves(curves, out / "accuracy_by_block.png", "block", title, log=False)
