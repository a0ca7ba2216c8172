"""RotNet's semi-supervised figure (1803.07728, figure 5): a convolutional classifier on a frozen block, few labels.

    python -m tests.benchmarks.pretext_labels --train data/cifar10/train.tar --test data/cifar10/test.tar

For every method that ``pretext_table`` has finished in OUT (runs/pretext), its second block is frozen and a third one,
of random weights, with a linear map of its mean is learned from so many labels of each class; beside it the same
three blocks, all learned from those labels alone.  OUT/labels.md has the table, OUT/accuracy_by_labels.png the figure.
"""

import argparse
import json
import math
import time
from pathlib import Path
from statistics import mean

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmcontrast.data import Images, OneView
from mmcontrast.encoders import NIN
from mmcontrast.evals.splits import stratified_sample
from mmcontrast.methods import Method
from mmcontrast.ops.random import hash64
from mmcontrast.viz.accuracy_plots import Curve, draw_curves
from tests.benchmarks.pretext_table import RECIPES, read, write

DRAWS = {20: 3, 100: 3, 400: 2, 1000: 1, 5000: 1}  # labels per class: draws of them
STEPS = {20: 300, 100: 600, 400: 1000, 1000: 1500, 5000: 2500}
BATCH, FROZEN, ALONE = 128, 1, "labels alone"


def classifier(channels: int, width: int, classes: int) -> nn.Sequential:
    """A block as ``NIN`` has it, its mean over the grid, and a linear map."""
    block = NIN(width, depth=3).net[2]
    block[0] = nn.Conv2d(channels, width, 3, padding=1, bias=False)
    return nn.Sequential(block, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, classes))


def fit(net: nn.Module, inputs: Tensor, labels: Tensor, steps: int, augment: nn.Module | None) -> None:
    """SGD with momentum, cosine, as the paper's classifiers but for the number of steps."""
    optimizer = torch.optim.SGD(net.parameters(), 0.1, momentum=0.9, weight_decay=5e-4, nesterov=True)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 0.5 + 0.5 * math.cos(math.pi * step / steps))
    order, drawn, batch = torch.empty(0, dtype=torch.int64), 0, min(BATCH, len(labels))
    net.train()
    for _ in range(steps):
        if len(order) < batch:
            order = torch.cat([order, torch.randperm(len(labels))])
        chosen, order = order[:batch], order[batch:]
        x = inputs[chosen]
        if augment is not None:
            x = augment({"image": x, "sample_key": hash64(torch.arange(drawn, drawn + batch))})["image"]
        with torch.autocast("cpu", torch.bfloat16):
            loss = F.cross_entropy(net(x), labels[chosen])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        drawn += batch
    net.eval()


@torch.inference_mode()
def accuracy(net: nn.Module, inputs: Tensor, labels: Tensor) -> float:
    with torch.autocast("cpu", torch.bfloat16):
        right = [
            (net(_floats(x)).argmax(1) == y).sum() for x, y in zip(inputs.split(500), labels.split(500), strict=True)
        ]
    return float(sum(right)) / len(labels)


@torch.inference_mode()
def maps(method: Method, pixels: Tensor) -> Tensor:
    """(N, 3, 32, 32) uint8 -> (N, D, 8, 8) bfloat16 of the frozen block."""
    with torch.autocast("cpu", torch.bfloat16):
        return torch.cat([method.encoder.blocks(_floats(part))[FROZEN].bfloat16() for part in pixels.split(500)])


def _floats(x: Tensor) -> Tensor:
    return x.float() / 255 if x.dtype == torch.uint8 else x


class Whole(nn.Module):
    """The frozen blocks' architecture and the classifier, to be learned together."""

    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        self.encoder, self.head = NIN(width, depth=2), classifier(width, width, classes)

    def forward(self, image: Tensor) -> Tensor:
        return self.head(self.encoder.grid(image))


def run(name: str, args: argparse.Namespace, data: tuple[Tensor, Tensor, Tensor, Tensor]) -> dict[str, list[float]]:
    """Accuracies by labels per class, one for each draw of them."""
    pixels, labels, test, target = data
    classes, alone = int(labels.max()) + 1, name == ALONE
    if not alone:
        torch.manual_seed(args.seed)
        method = RECIPES[name].make(args.width, 32, classes).eval()
        method.encoder.load_state_dict(torch.load(args.out / f"{name}.pt", weights_only=True))
        pixels, test = maps(method, pixels), maps(method, test)
    found: dict[str, list[float]] = {}
    for count, draws in DRAWS.items():
        for seed in range(draws):
            torch.manual_seed(seed)
            chosen = stratified_sample(labels, per_class=count, seed=seed)
            net = Whole(args.width, classes) if alone else classifier(pixels.shape[1], args.width, classes)
            augment = OneView(scale=(0.6, 1.0), flip=0.5) if alone else None
            fit(net, pixels[chosen], labels[chosen], STEPS[count], augment)
            found.setdefault(str(count), []).append(accuracy(net, test, target))
        print(name, count, found[str(count)], flush=True)
    return found


def report(out: Path) -> str:
    """The table and the figure of what is finished."""
    names = [*RECIPES, ALONE]
    found = {
        n: json.loads((out / f"{n}.labels.json").read_text()) for n in names if (out / f"{n}.labels.json").exists()
    }
    lines = ["| labels per class | " + " | ".join(map(str, DRAWS)) + " |", "|---" * (1 + len(DRAWS)) + "|"]
    for name, f in found.items():
        lines.append(f"| {name} | " + " | ".join(f"{100 * mean(f[str(n)]):.1f}" for n in DRAWS) + " |")
    curves = [Curve(name, list(DRAWS), [mean(f[str(n)]) for n in DRAWS]) for name, f in found.items()]
    draw_curves(curves, out / "accuracy_by_labels.png", "labels per class", "CIFAR-10, block 2 frozen, block 3 learned")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description="Few labels on pretext features.")
    for name in ("train", "test"):
        parser.add_argument(f"--{name}", required=True, help="labeled images of 32 pixels")
    parser.add_argument("--out", type=Path, default=Path("runs/pretext"), help="where pretext_table wrote")
    parser.add_argument("--width", type=int, default=32, help="that of pretext_table")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    sets = Images(args.train, 32), Images(args.test, 32)
    data = tuple(part for images in sets for part in (read(images), torch.from_numpy(images.labels)))
    start = time.process_time()
    for name in [*RECIPES, ALONE]:
        done = args.out / f"{name}.labels.json"
        if (name == ALONE or (args.out / f"{name}.pt").exists()) and not done.exists():
            write(done, run(name, args, data))
    text = report(args.out)
    (args.out / "labels.md").write_text(text + "\n")
    print(text, f"\n\n{time.process_time() - start:.0f} s of CPU, torch {torch.__version__}")


if __name__ == "__main__":
    main()
