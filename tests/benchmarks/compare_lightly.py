"""SimCLR, MoCo and DINO against lightly's own modules and losses: kNN accuracy and time per step at equal budget.

python tests/benchmarks/compare_lightly.py --train cifar10/train.tar --test cifar10/test.tar [--only SimCLR,MoCo,DINO]

Both sides start from the same encoder and see the same views in the same order, one step each in turn, so that both
run on the same machine under the same load.  They share optimizer and schedule; heads, losses, queue, center and moving
averages are each side's own, of equal sizes.  The teacher's encoder is judged for DINO, the query's for MoCo.

The defaults are a small budget for one core (a network of 0.4 million parameters, 10,000 images, 8 epochs): what is
compared are the implementations, not how far they get.  For lightly's published budget:
--encoder resnet18 --images 50000 --epochs 200 --device cuda
"""

import argparse
import copy
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch
from lightly.loss import DINOLoss, NTXentLoss
from lightly.models.modules import DINOProjectionHead, MoCoProjectionHead, SimCLRProjectionHead
from lightly.models.utils import deactivate_requires_grad, update_momentum
from lightly.utils.scheduler import cosine_schedule
from torch import Tensor, nn

from mmcontrast.data import Images, MultiCrop, TwoViews
from mmcontrast.data.sampler import SampleKey
from mmcontrast.encoders import TimmEncoder
from mmcontrast.encoders.base import Encoder
from mmcontrast.evals.knn import knn
from mmcontrast.evals.labeled_features import FeatureSettings
from mmcontrast.methods import DINO, Method, MoCo, SimCLR
from mmcontrast.ops.random import derive_key
from mmcontrast.train.cpu import tune_cpu
from mmcontrast.train.schedule import learning_rate_factor

PROTOTYPES, HIDDEN, BOTTLENECK, QUEUE = 2048, 512, 128, 4096


class Theirs(nn.Module):
    """One of lightly's methods, as its documentation writes the training loop."""

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.backbone = copy.deepcopy(encoder)

    def after_step(self, progress: float) -> None:
        """Nothing moves but what the optimizer moves."""

    @property
    def encoder(self) -> Encoder:
        """What is judged."""
        return self.backbone


class TheirSimCLR(Theirs):
    def __init__(self, encoder: Encoder) -> None:
        super().__init__(encoder)
        self.head = SimCLRProjectionHead(encoder.dim, encoder.dim, 128)
        self.criterion = NTXentLoss(temperature=0.5)

    def forward(self, batch: dict[str, Any]) -> Tensor:
        first, second = (self.head(self.backbone(view)) for view in batch["views"])
        return self.criterion(first, second)


class TheirMoCo(Theirs):
    def __init__(self, encoder: Encoder) -> None:
        super().__init__(encoder)
        self.head = MoCoProjectionHead(encoder.dim, encoder.dim, 128)
        self.key_backbone, self.key_head = copy.deepcopy(self.backbone), copy.deepcopy(self.head)
        deactivate_requires_grad(self.key_backbone)
        deactivate_requires_grad(self.key_head)
        self.criterion = NTXentLoss(temperature=0.2, memory_bank_size=(QUEUE, 128))

    def forward(self, batch: dict[str, Any]) -> Tensor:
        first, second = batch["views"]
        query, key = self.head(self.backbone(first)), self.key_head(self.key_backbone(second)).detach()
        return self.criterion(query, key)

    def after_step(self, progress: float) -> None:
        update_momentum(self.backbone, self.key_backbone, 0.99)
        update_momentum(self.head, self.key_head, 0.99)


class TheirDINO(Theirs):
    def __init__(self, encoder: Encoder) -> None:
        super().__init__(encoder)
        sizes = (encoder.dim, HIDDEN, BOTTLENECK, PROTOTYPES)
        self.head, self.teacher_head = (DINOProjectionHead(*sizes, batch_norm=True) for _ in range(2))
        self.teacher_head.load_state_dict(self.head.state_dict())
        self.teacher = copy.deepcopy(self.backbone)
        deactivate_requires_grad(self.teacher)
        deactivate_requires_grad(self.teacher_head)
        self.criterion = DINOLoss(PROTOTYPES, teacher_temp=0.04)

    @property
    def encoder(self) -> Encoder:
        return self.teacher

    def forward(self, batch: dict[str, Any]) -> Tensor:
        teacher = [self.teacher_head(self.teacher(view)) for view in batch["views"][:2]]
        student = [self.head(self.backbone(view)) for view in batch["views"]]
        return self.criterion(teacher, student, teacher_temp=0.04)

    def after_step(self, progress: float) -> None:
        momentum = cosine_schedule(round(10_000 * progress), 10_001, 0.99, 1)
        update_momentum(self.backbone, self.teacher, momentum)
        update_momentum(self.head, self.teacher_head, momentum)


def our_dino(encoder: Encoder) -> Method:
    sizes = {"prototypes": PROTOTYPES, "hidden": HIDDEN, "bottleneck": BOTTLENECK, "head_norm": True}
    return DINO(encoder, **sizes, teacher_temperature=(0.04, 0.04), momentum=0.99, frozen_last_layer=0.0)


TWO_VIEWS = TwoViews(strength=0.5, blur=(0.0, 0.0))
METHODS: dict[str, tuple[Callable[[Encoder], Method], type[Theirs], nn.Module]] = {
    "SimCLR": (lambda encoder: SimCLR(encoder, temperature=0.5), TheirSimCLR, TWO_VIEWS),
    "MoCo": (lambda encoder: MoCo(encoder, queue_size=QUEUE, momentum=0.99), TheirMoCo, TWO_VIEWS),
    "DINO": (our_dino, TheirDINO, MultiCrop(32, 16, 2)),
}


class Side:
    """A method with its optimizer, and the CPU seconds of its steps."""

    def __init__(self, method: nn.Module, lr: float, steps: int, device: str) -> None:
        self.method: Any = method.to(device).train()
        trained = [p for p in method.parameters() if p.requires_grad]
        self.optimizer = torch.optim.AdamW(trained, lr=lr, weight_decay=0.02, fused=True)
        self.lr, self.steps, self.seconds = lr, steps, []

    def step(self, number: int, batch: dict[str, Any]) -> None:
        start = now(batch["views"][0].device)
        for group in self.optimizer.param_groups:
            group["lr"] = self.lr * learning_rate_factor(number, self.steps, 0.05, "cosine")
        self.optimizer.zero_grad()
        out = self.method(batch)
        (out["loss"] if isinstance(out, dict) else out).backward()
        if isinstance(self.method, Method):
            self.method.before_step(number / self.steps)
        self.optimizer.step()
        self.method.after_step((number + 1) / self.steps)
        self.seconds.append(now(batch["views"][0].device) - start)


def now(device: torch.device) -> float:
    """CPU seconds of this thread; on a GPU the clock, once it has caught up."""
    if device.type == "cpu":
        return time.thread_time()
    torch.cuda.synchronize()
    return time.perf_counter()


def batches(pixels: Tensor, size: int, epochs: int, seed: int) -> Iterator[dict[str, Tensor]]:
    """Whole batches of (size, 3, H, W) uint8 with their keys, shuffled anew in each epoch."""
    generator = torch.Generator().manual_seed(seed)
    for epoch in range(epochs):
        for chosen in torch.randperm(len(pixels), generator=generator).split(size):
            if len(chosen) == size:
                key = torch.tensor([derive_key(seed, epoch, i) for i in chosen.tolist()])
                yield {"image": pixels[chosen.to(pixels.device)], "sample_key": key.to(pixels.device)}


def compare(name: str, pixels: Tensor, seed: int, args: argparse.Namespace) -> tuple[list[float], list[float]]:
    """kNN accuracy and the median seconds of a step: ours, theirs."""
    make, other, augment = METHODS[name]
    torch.manual_seed(seed)
    encoder = TimmEncoder(args.encoder, image_size=32, cifar_stem=args.encoder.startswith("resnet"))
    theirs = other(encoder)
    ours = make(encoder)
    steps = len(pixels) // args.batch * args.epochs
    sides = [Side(method, args.lr, steps, args.device) for method in (ours, theirs)]
    for number, batch in enumerate(batches(pixels, args.batch, args.epochs, seed)):
        views = augment(batch)
        for side in sides if number % 2 else reversed(sides):
            side.step(number, views)
    settings = FeatureSettings(resolution=32, limit=args.limit, cache=False)
    accuracy = [
        knn(side.method.encoder, args.train, args.test, [20], settings=settings)["k"]["20"]["top1"] for side in sides
    ]
    return accuracy, [statistics.median(side.seconds) for side in sides]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--train", required=True, help="labeled images: shards with KEY.cls, or class folders")
    parser.add_argument("--test", required=True)
    parser.add_argument("--only", default=",".join(METHODS))
    parser.add_argument("--encoder", default="test_resnet", help="a name of timm")
    parser.add_argument("--images", type=int, default=10_000, help="to train on")
    parser.add_argument("--limit", type=int, default=10_000, help="images of each set that kNN looks at")
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args()
    torch.set_num_threads(1)
    tune_cpu()
    images = Images(args.train, size=32)
    count = min(args.images, len(images))
    chosen = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))[:count]
    pixels = torch.stack([images.pixels(SampleKey(i)) for i in chosen.tolist()]).to(args.device)

    print(f"{args.encoder}, {count} images, {args.epochs} epochs, batch {args.batch}, kNN at k = 20.\n")
    columns = ("method", "seed", "kNN, ours", "lightly", "step, ours", "lightly", "ratio")
    print(f"| {' | '.join(columns)} |\n{'|---' * len(columns)}|")
    for name in args.only.split(","):
        for seed in map(int, args.seeds.split(",")):
            (ours, theirs), (our_time, their_time) = compare(name, pixels, seed, args)
            times = f"{1e3 * our_time:.0f} ms | {1e3 * their_time:.0f} ms | {our_time / their_time:.2f}"
            print(f"| {name} | {seed} | {100 * ours:.1f} | {100 * theirs:.1f} | {times} |", flush=True)
    print(f"\ntorch {torch.__version__}, {args.device}, one thread, medians.")


if __name__ == "__main__":
    main()
