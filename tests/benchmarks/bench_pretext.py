"""What a step of a pretext task costs beyond its networks' own passes, on one CPU thread; and sets of permutations.

python tests/benchmarks/bench_pretext.py [--batch 16] [--repeats 5] [--only Inpainting,Colorization]

"networks": forward and backward of encoders, heads, decoders and discriminator on inputs of the same shapes.  "step":
the method's forward and the backward; turning, cutting, holes, conversions of color, soft targets and losses are what
it adds.
"""

import argparse
import platform
import time
from collections.abc import Callable
from typing import Any

import torch
from bench_instance import Work, cpu_seconds, resnet, trained
from torch import Tensor, nn
from torch.func import functional_call

from mmcontrast.encoders import TimmEncoder
from mmcontrast.methods import Colorization, Inpainting, Jigsaw, Method, RelativePatch, Rotation, SplitBrain
from mmcontrast.ops.permutations import distant_permutations


def channels(count: int) -> TimmEncoder:
    return TimmEncoder("resnet18", image_size=32, cifar_stem=True, in_channels=count)


def pieces(method: RelativePatch | Jigsaw, count: int, side: int, batch: dict[str, Any]) -> tuple[Method, Work]:
    """Passes of ``count`` patches of each image, then of the head that sees them together."""
    together = nn.Sequential(method.encoder, nn.Unflatten(0, (-1, count)), nn.Flatten(), method.head)
    x: Tensor = torch.rand(count * len(batch["image"]), 3, side, side)
    return method, lambda: trained(together, x)


def rotation(batch: dict[str, Any]) -> tuple[Method, Work]:
    method, turned = Rotation(resnet()), batch["image"].repeat(4, 1, 1, 1)
    return method, lambda: trained(nn.Sequential(method.encoder, method.head), turned)


def relative_patch(batch: dict[str, Any]) -> tuple[Method, Work]:
    return pieces(RelativePatch(resnet(), patch=8, gap=2, jitter=1), 2, 8, batch)


def jigsaw(batch: dict[str, Any]) -> tuple[Method, Work]:
    return pieces(Jigsaw(resnet(), permutations=100, channel_shift=1, hidden=512), 9, 7, batch)


def inpainting(batch: dict[str, Any]) -> tuple[Method, Work]:
    method, image = Inpainting(resnet(), overlap=2), batch["image"]

    def passes() -> None:
        painted = method.decoder(method.encoder.grid(image)).sigmoid()
        judge = method.discriminator
        judged = judge(image), judge(painted.detach()), functional_call(judge, judge.state_dict(), painted)
        (painted.square().mean() + sum(logits.mean() for logits in judged)).backward()

    return method, passes


def colorization(batch: dict[str, Any]) -> tuple[Method, Work]:
    method = Colorization(channels(1))
    network = lambda x: method.decoder(method.encoder.net.grid(x))
    return method, lambda: trained(network, batch["image"][:, :1])


def split_brain(batch: dict[str, Any]) -> tuple[Method, Work]:
    method = SplitBrain(channels(1), channels(2))
    first, second = method.halves.first.net, method.halves.second.net
    return method, lambda: (
        trained(lambda x: method.to_color(first.grid(x)), batch["image"][:, :1]),
        trained(lambda x: method.to_lightness(second.grid(x)), batch["image"][:, 1:]),
    )


METHODS: dict[str, Callable[[dict[str, Any]], tuple[nn.Module, Work]]] = {
    "Rotation": rotation,
    "RelativePatch": relative_patch,
    "Jigsaw": jigsaw,
    "Inpainting": inpainting,
    "Colorization": colorization,
    "SplitBrain": split_brain,
}


def nearest(permutations: Tensor) -> int:
    """The smallest Hamming distance between two of (K, N)."""
    unlike = (permutations[:, None] != permutations).sum(2)
    return int(unlike.fill_diagonal_(permutations.shape[1]).min())


def row(name: str, batch: dict[str, Any], repeats: int) -> str:
    torch.manual_seed(0)
    method, passes = METHODS[name](batch)
    networks, whole = cpu_seconds((passes, lambda: method(batch)["loss"].backward()), repeats)
    return f"| {name} | {networks:.3f} s | {whole:.3f} s | {whole / networks:.3f} |"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--only", default=",".join(METHODS))
    args = parser.parse_args()
    torch.set_num_threads(1)
    batch = {"image": torch.rand(args.batch, 3, 32, 32), "sample_key": torch.arange(args.batch)}

    print(f"Batch {args.batch}, 32 x 32 pixels, ResNet-18, CPU time.\n")
    print("| method | networks | step | step / networks |\n|---|---|---|---|")
    for name in args.only.split(","):
        print(row(name, batch, args.repeats), flush=True)

    print("\n| permutations of 9 pieces | CPU time | differ in at least |\n|---|---|---|")
    for count in (24, 100, 1000):
        start = time.process_time()
        found = distant_permutations(9, count)
        seconds = time.process_time() - start
        print(f"| {count:,} | {seconds:.2f} s | {nearest(found)} places |")
    print(f"\n{platform.processor() or platform.machine()}, torch {torch.__version__}, one thread")


if __name__ == "__main__":
    main()
