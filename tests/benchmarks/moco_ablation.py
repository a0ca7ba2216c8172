"""What made MoCo v2 out of MoCo v1 (2003.04297, table 1): an MLP head, more augmentation, a cosine schedule.

python tests/benchmarks/moco_ablation.py --train cifar10/train.tar --test cifar10/test.tar [--epochs 8] [--seeds 0,1]

A small budget for one core: a network of 0.4 million parameters, a queue of 4,096.  More augmentation
is a jitter of twice the strength and a blur; without the cosine the rate drops to a tenth after 60 and 80 % of the run.
"""

import argparse
import statistics
import time

import torch
from compare_lightly import QUEUE, batches
from torch import Tensor

from mmcontrast.data import Images, TwoViews
from mmcontrast.data.sampler import SampleKey
from mmcontrast.encoders import TimmEncoder
from mmcontrast.evals.knn import knn
from mmcontrast.evals.labeled_features import FeatureSettings
from mmcontrast.evals.linear_probe import linear_probe
from mmcontrast.methods import MoCo
from mmcontrast.train.cpu import tune_cpu
from mmcontrast.train.schedule import learning_rate_factor

ROWS = {  # MLP head, more augmentation, cosine
    "v1": (False, False, False),
    "+ MLP": (True, False, False),
    "+ augmentation": (False, True, False),
    "+ MLP, augmentation": (True, True, False),
    "v2": (True, True, True),
}


def accuracy(row: tuple[bool, bool, bool], pixels: Tensor, seed: int, args: argparse.Namespace) -> tuple[float, float]:
    """One training: the accuracy of kNN and of a linear probe, which is what the paper's table has, in %."""
    mlp, more, cosine = row
    torch.manual_seed(seed)
    encoder = TimmEncoder("test_resnet", image_size=32)
    head, temperature = ("mlp", 0.2) if mlp else ("linear", 0.07)
    method = MoCo(encoder, head=head, temperature=temperature, queue_size=QUEUE, momentum=0.99).train()
    views = TwoViews(strength=1.0, blur=(0.5, 0.5)) if more else TwoViews(strength=0.5, blur=(0.0, 0.0))
    trained = [p for p in method.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=args.lr, weight_decay=0.02, fused=True)
    steps = len(pixels) // args.batch * args.epochs
    for step, batch in enumerate(batches(pixels, args.batch, args.epochs, seed)):
        shape = "cosine" if cosine else "step"
        for group in optimizer.param_groups:
            group["lr"] = args.lr * learning_rate_factor(step, steps, 0.05, shape, milestones=(0.6, 0.8))
        optimizer.zero_grad()
        method(views(batch))["loss"].backward()
        optimizer.step()
        method.after_step((step + 1) / steps)
    settings = FeatureSettings(resolution=32, limit=args.limit)
    neighbors = knn(encoder, args.train, args.test, [20], settings=settings).metrics["per_k"]["20"]["top1"]
    probe = linear_probe(encoder, args.train, args.test, settings=settings).metrics["per_feature"]["pooled"]["top1"]
    return 100 * neighbors, 100 * probe


def each(found: tuple[float, ...]) -> str:
    return ", ".join(f"{value:.1f}" for value in found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--train", required=True, help="labeled images: shards with KEY.cls, or class folders")
    parser.add_argument("--test", required=True)
    parser.add_argument("--images", type=int, default=5_000, help="to train on")
    parser.add_argument("--limit", type=int, default=4_000, help="images of each set that kNN looks at")
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--seeds", default="0,1")
    args = parser.parse_args()
    torch.set_num_threads(1)
    tune_cpu()
    images = Images(args.train, size=32)
    chosen = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))[: args.images]
    pixels = torch.stack([images.pixels(SampleKey(i)) for i in chosen.tolist()])
    seeds = [int(seed) for seed in args.seeds.split(",")]
    print(f"{len(pixels)} images, {args.epochs} epochs, batch {args.batch}, kNN at k = 20, seeds {args.seeds}.\n")
    print("| MoCo | probe, mean | each seed | kNN, mean | each seed | CPU s a run |\n|---|---|---|---|---|---|")
    for name, row in ROWS.items():
        start = time.process_time()
        neighbors, probes = zip(*(accuracy(row, pixels, seed, args) for seed in seeds), strict=True)
        spent = (time.process_time() - start) / len(seeds)
        cells = [cell for found in (probes, neighbors) for cell in (f"{statistics.mean(found):.1f}", each(found))]
        print(f"| {name} | {' | '.join(cells)} | {spent:.0f} |", flush=True)
    print(f"\ntorch {torch.__version__}, one thread.")


if __name__ == "__main__":
    main()
