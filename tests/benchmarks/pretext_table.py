"""Pretext tasks beside SimCLR, labels and random weights: one encoder, one budget, judged by what their features know.

    python -m data_scripts.cifar10 data/cifar10
    python -m tests.benchmarks.pretext_table --train data/cifar10/train.tar --test data/cifar10/test.tar

Every method sends as many pixels through the encoder, in batches of as many; only the encoder of a gray image or of
its colors is narrower by its input.  ``--pretrain`` learns from other images than those that judge.  Finished
methods are kept in OUT/NAME.json, so that a run goes on where it stopped; OUT/table.md has the tables, and
OUT/accuracy_by_labels.png the semi-supervised figure of RotNet (1803.07728, figure 5).
"""

import argparse
import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmcontrast.data import Images, OneView, TwoViews
from mmcontrast.data.sampler import SampleKey
from mmcontrast.encoders import NIN, Encoder
from mmcontrast.evals.knn import vote
from mmcontrast.evals.labeled_features import FeatureSettings
from mmcontrast.evals.linear_probe import embed_blocks
from mmcontrast.evals.logistic import accuracy, choose_C, fit_scaled
from mmcontrast.evals.splits import stratified_sample, stratified_split
from mmcontrast.inference.image_batches import read_ahead
from mmcontrast.methods import (
    Colorization,
    Inpainting,
    Jigsaw,
    Method,
    RelativePatch,
    Rotation,
    SimCLR,
    SplitBrain,
)
from mmcontrast.ops.nearest import nearest
from mmcontrast.ops.random import hash64
from mmcontrast.viz.accuracy_plots import Curve, draw_curves

LABELS, ALL, DRAWS = (20, 100, 400, 1000), 5000, 3  # per class; all there are; draws of those before
SWEEP = (1e-3, 1e-2, 1e-1, 1.0)


class Supervised(Method):
    """Learns the labels: what the others are to come near to."""

    def __init__(self, encoder: Encoder, classes: int) -> None:
        super().__init__()
        self.encoder, self.head = encoder, nn.Linear(encoder.dim, classes)

    def forward(self, batch: dict[str, Any]) -> dict[str, Tensor]:
        logits = self.head(self.encoder(batch["image"]))
        accuracy = (logits.argmax(1) == batch["label"]).float().mean()
        return {"loss": F.cross_entropy(logits, batch["label"]), "accuracy": accuracy}


@dataclass(frozen=True)
class Recipe:
    """A method, its views, and the pixels that pass the encoder for each image, as a share of the image's.

    Args:
        make: (width, side of the images, classes) -> the method.
    """

    make: Callable[[int, int, int], Method]
    augment: Callable[[], nn.Module]
    passes: Callable[[int], float] = lambda size: 1.0


def patch_sizes(size: int) -> dict[str, int]:
    """Three patches with gaps and jitter in an image: 8 + 2 +- 1 pixels of 32, 16 + 4 +- 2 of 64."""
    return {"patch": size // 4, "gap": size // 16, "jitter": size // 32}


def regions(smallest: float) -> Callable[[], nn.Module]:
    return lambda: OneView(scale=(smallest, 1.0), flip=0.5)


RECIPES = {
    "random start": Recipe(lambda width, size, classes: Supervised(NIN(width), classes), regions(1.0)),
    "rotation": Recipe(lambda width, size, classes: Rotation(NIN(width)), regions(0.6), lambda size: 4.0),
    "relative patch": Recipe(
        lambda width, size, classes: RelativePatch(NIN(width), **patch_sizes(size), hidden=4 * width),
        regions(0.9),
        lambda size: 2 * (size // 4) ** 2 / size**2,
    ),
    "jigsaw": Recipe(
        lambda width, size, classes: Jigsaw(NIN(width), permutations=100, channel_shift=1, hidden=512),
        regions(0.9),
        lambda size: 9 * (3 * ((size - 2) // 3) // 4) ** 2 / size**2,
    ),
    "inpainting": Recipe(
        lambda width, size, classes: Inpainting(
            NIN(width, image_size=size), overlap=2, width=width, discriminator_width=16
        ),
        regions(0.6),
    ),
    "colorization": Recipe(
        lambda width, size, classes: Colorization(NIN(width, in_channels=1), width=width), regions(0.6)
    ),
    "split-brain": Recipe(
        lambda width, size, classes: SplitBrain(
            NIN(width // 2, in_channels=1), NIN(width // 2, in_channels=2), width=width
        ),
        regions(0.6),
        lambda size: 1.0,
    ),
    "SimCLR": Recipe(
        lambda width, size, classes: SimCLR(NIN(width), temperature=0.5),
        lambda: TwoViews(scale=(0.2, 1.0), strength=0.5, blur=(0.0, 0.0)),
        lambda size: 2.0,
    ),
    "supervised": Recipe(lambda width, size, classes: Supervised(NIN(width), classes), regions(0.3)),
}


def read(images: Images) -> Tensor:
    """All images in memory: (N, 3, S, S) uint8."""
    found = read_ahead(lambda place: images.pixels(SampleKey(place)), range(len(images)), 256)
    return torch.cat([image for image, _ in found])


def train(name: str, images: Images, args: argparse.Namespace) -> tuple[Method, dict[str, Any]]:
    """A plain loop: AdamW, 5 % warm-up, cosine."""
    torch.manual_seed(args.seed)
    size, recipe = images.pixels.size, RECIPES[name]
    method, augment = recipe.make(args.width, size, 10).train(), recipe.augment()
    if name == "random start":
        return method, {"images": 0, "train_cpu_s": 0.0}
    batch_size = max(2, round(args.batch * 32**2 / (recipe.passes(size) * size**2)))
    steps = args.passes // args.batch
    pixels, start = read(images), time.process_time()
    labels = torch.from_numpy(images.labels) if name == "supervised" else torch.zeros(len(pixels))
    optimizer = torch.optim.AdamW(method.parameters(), lr=args.lr, weight_decay=0.05)
    rate = lambda step: min(20 * (step + 1) / steps, 0.5 + 0.5 * math.cos(math.pi * step / steps))
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, rate)
    order, drawn = torch.empty(0, dtype=torch.int64), 0
    for step in range(steps):
        if len(order) < batch_size:
            order = torch.cat([order, torch.randperm(len(pixels))])
        chosen, order = order[:batch_size], order[batch_size:]
        key = hash64(torch.arange(drawn, drawn + batch_size))
        batch = augment({"image": pixels[chosen], "sample_key": key, "label": labels[chosen]})
        with torch.autocast("cpu", torch.bfloat16):
            out = method(batch)
        optimizer.zero_grad()
        out["loss"].backward()
        optimizer.step()
        schedule.step()
        method.after_step((step + 1) / steps)
        drawn += batch_size
        if step % 100 == 0 or step == steps - 1:
            print(name, step, *(f"{key} {value.item():.3f}" for key, value in out.items()), flush=True)
    last = {key: round(value.item(), 4) for key, value in out.items()}
    return method, {"images": drawn, "train_cpu_s": round(time.process_time() - start, 1), "last": last}


def judge(encoder: Encoder, train: Images, test: Images) -> dict[str, Any]:
    """kNN of the pooled face, a linear probe of each block, and few labels on the block that held-out images choose.

    The encoder runs once over each set; the pooled face of a convolutional network is the mean of its last block.
    """
    with torch.autocast("cpu", torch.bfloat16):
        fitting, testing, widths = embed_blocks(encoder, train, test, "all", FeatureSettings(batch_size=256))
    y, target, count = fitting.labels, testing.labels, len(train.classes)
    blocks = list(zip(*(part.vectors.split(list(widths.values()), 1) for part in (fitting, testing)), strict=True))
    unit = [F.normalize(part, dim=1) for part in blocks[-1]]
    cosine, places = nearest(unit[1], unit[0], 20)
    votes = vote(cosine, y[places], count, 0.07, [20])[20]

    def learn(x: Tensor, z: Tensor, chosen: Tensor) -> tuple[float, float]:
        """Accuracy on held-out images and on the test set."""
        C, sweep = choose_C(x[chosen], y[chosen], count, [stratified_split(y[chosen], 0.2)], SWEEP)
        return sweep[C], accuracy(fit_scaled(x[chosen], y[chosen], count, C)(z), target)

    probes = [learn(x, z, torch.arange(len(y))) for x, z in blocks]
    best = max(range(len(probes)), key=lambda i: probes[i][0])
    few = {
        n: [learn(*blocks[best], stratified_sample(y, per_class=n, seed=seed))[1] for seed in range(DRAWS)]
        for n in LABELS
    }
    return {
        "knn": accuracy(votes, target),
        "blocks": [found for _, found in probes],
        "best_block": best,
        "few": few | {ALL: [probes[best][1]]},
    }


def run(name: str, args: argparse.Namespace) -> None:
    """Trains and judges one method, and keeps its figures."""
    data = Images(args.train, 32), Images(args.test, 32)
    pretrain = Images(args.pretrain, args.size) if args.pretrain else data[0]
    method, figures = train(name, pretrain, args)
    method.eval()
    parts = {name: method.encoder}
    if isinstance(method, SplitBrain):
        parts |= {"its L half": method.halves.first, "its ab half": method.halves.second}
    for part, encoder in parts.items():
        start = time.process_time()
        found = judge(encoder, *data) | {"judge_cpu_s": round(time.process_time() - start, 1)}
        write(args.out / f"{part}.json", figures | found)
    torch.save(method.encoder.state_dict(), args.out / f"{name}.pt")


def write(file: Path, figures: dict[str, Any]) -> None:
    partial = file.with_suffix(".part")
    partial.write_text(json.dumps(figures, indent=1))
    partial.replace(file)


def report(out: Path) -> str:
    """The tables of what is finished, and the figure."""
    names = [*RECIPES, "its L half", "its ab half"]
    found = {name: json.loads((out / f"{name}.json").read_text()) for name in names if (out / f"{name}.json").exists()}
    amounts = [str(amount) for amount in (*LABELS, ALL)]
    percent = lambda values: " | ".join(f"{100 * value:.1f}" for value in values)
    lines = ["| method | images | CPU s | kNN | block 1 | 2 | 3 | 4 |", "|---" * 8 + "|"]
    for name, f in found.items():
        lines.append(
            f"| {name} | {f['images']:,} | {f['train_cpu_s']:.0f} | {percent([f['knn']])} | {percent(f['blocks'])} |"
        )
    lines += ["", "| labels per class | " + " | ".join(amounts) + " |", "|---" * (1 + len(amounts)) + "|"]
    for name, f in found.items():
        lines.append(f"| {name}, block {f['best_block'] + 1} | {percent(mean(f['few'][a]) for a in amounts)} |")
    curves = [
        Curve(name, list(map(int, amounts)), [mean(f["few"][a]) for a in amounts])
        for name, f in found.items()
        if name in RECIPES
    ]
    if curves:
        draw_curves(curves, out / "accuracy_by_labels.png", "labels per class", "CIFAR-10, best block frozen")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare pretext tasks.")
    for name in ("train", "test"):
        parser.add_argument(f"--{name}", required=True, help="labeled images of 32 pixels")
    parser.add_argument("--pretrain", help="images to learn from instead of --train")
    parser.add_argument("--size", type=int, default=64, help="side of these (default: 64)")
    parser.add_argument("--out", type=Path, default=Path("runs/pretext"))
    parser.add_argument("--only", default=",".join(RECIPES), help="methods, with commas between")
    parser.add_argument("--passes", type=int, default=120_000, help="images of 32 x 32 pixels through the encoder")
    parser.add_argument("--batch", type=int, default=128, help="of these in a step")
    parser.add_argument("--width", type=int, default=32, help="channels of the encoder; 192 in RotNet's paper")
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    for name in args.only.split(","):
        if not (args.out / f"{name}.json").exists():
            run(name, args)
    text = report(args.out)
    (args.out / "table.md").write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
