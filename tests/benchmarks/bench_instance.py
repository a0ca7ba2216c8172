"""What a method's step costs beyond its networks' own passes, on one CPU thread.

python tests/benchmarks/bench_instance.py [--batch 16] [--repeats 5] [--only SimCLR,MoCo]

"networks": forward and backward of encoder and heads on the same inputs, and the teacher's forward.  "step": the
method's forward, the backward, and ``after_step``; losses, queues, centers and moving averages are what it adds.
"""

import argparse
import platform
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from mmcontrast.encoders import PatchGrid, TimmEncoder, ViT
from mmcontrast.encoders.vit import encode_tokens
from mmcontrast.methods import CPC, DINO, MAE, DINOv2, Method, MoCo, MoCoV3, SimCLR
from mmcontrast.ops.momentum import ema_copy, ema_update
from mmcontrast.ops.patches import block_mask, random_mask

Work = Callable[[], object]


def cpu_seconds(pair: tuple[Work, Work], repeats: int) -> tuple[float, float]:
    """Median CPU seconds of this thread for two things done in turn, so that both see the same machine."""
    seconds: tuple[list[float], list[float]] = ([], [])
    for _ in range(repeats + 1):
        for work, taken in zip(pair, seconds, strict=True):
            start = time.thread_time()
            work()
            taken.append(time.thread_time() - start)
    first, second = (statistics.median(taken[1:]) for taken in seconds)
    return first, second


def resnet() -> TimmEncoder:
    return TimmEncoder("resnet18", image_size=32, cifar_stem=True)


def trained(network: Callable[[Tensor], Tensor], *inputs: Tensor) -> None:
    """Forward and backward."""
    sum(network(x).square().mean() for x in inputs).backward()


@torch.no_grad()
def taught(network: nn.Module, x: Tensor) -> None:
    """Forward only."""
    network(x)


def simclr(batch: dict[str, Any]) -> tuple[Method, Work]:
    method = SimCLR(resnet(), temperature=0.5)
    return method, lambda: trained(nn.Sequential(method.encoder, method.head), torch.cat(batch["views"][:2]))


def moco(batch: dict[str, Any]) -> tuple[Method, Work]:
    method, (a, b) = MoCo(resnet(), queue_size=4096), batch["views"][:2]
    return method, lambda: (
        taught(method.key_network, b),
        trained(nn.Sequential(method.encoder, method.head), a),
    )


def moco_v3(batch: dict[str, Any]) -> tuple[Method, Work]:
    method, both = MoCoV3(resnet(), projector_layers=2), torch.cat(batch["views"][:2])
    return method, lambda: (
        taught(method.key_network, both),
        trained(nn.Sequential(method.encoder, method.projector, method.predictor), both),
    )


def dino(batch: dict[str, Any]) -> tuple[Method, Work]:
    method, large, small = (
        DINO(resnet(), prototypes=4096, head_norm=True),
        torch.cat(batch["views"][:2]),
        torch.cat(batch["views"][2:]),
    )
    student = lambda pair: method.head(torch.cat([method.student(x) for x in pair]))
    return method, lambda: (
        taught(nn.Sequential(method.teacher, method.teacher_head), large),
        student((large, small)).square().mean().backward(),
    )


def dinov2(batch: dict[str, Any]) -> tuple[Method, Work]:
    method = DINOv2(ViT(image_size=32, patch_size=4, dim=192, depth=12, heads=3), prototypes=4096)
    large, small = torch.cat(batch["views"][:2]), torch.cat(batch["views"][2:])
    hidden = torch.cat([block_mask(batch["sample_key"], 8, 8, stream=view) for view in range(2)])
    places = hidden.flatten().nonzero()[:, 0]

    def passes() -> None:
        with torch.no_grad():
            prefix, patches = encode_tokens(method.teacher, large)
            method.teacher_head(prefix[:, 0])
            method.teacher_patch_head(patches.flatten(0, 1)[places])
        prefix, patches = encode_tokens(method.student, large, hidden=hidden, mask_token=method.mask_token)
        whole = method.head(torch.cat([prefix[:, 0], method.student(small)]))
        parts = method.patch_head(patches.flatten(0, 1)[places])
        (whole.square().mean() + parts.square().mean()).backward()

    return method, passes


def mae(batch: dict[str, Any]) -> tuple[Method, Work]:
    vit = ViT(image_size=32, patch_size=4, dim=192, depth=12, heads=3, positions="sincos")
    method = MAE(vit, decoder_dim=128, decoder_depth=4, decoder_heads=4)
    keep, _ = random_mask(batch["sample_key"], 64, 0.75, 0)
    tokens = torch.randn(len(keep), 65, 128)

    def passes() -> None:
        visible = torch.cat(encode_tokens(method.vit, batch["image"], keep=keep), 1)
        decoder = method.decoder
        decoded = decoder.predict(decoder.norm(decoder.blocks(tokens)))
        (decoder.embed(visible).square().mean() + decoded.square().mean()).backward()

    return method, passes


def cpc(batch: dict[str, Any]) -> tuple[Method, Work]:
    method = CPC(PatchGrid(resnet(), 8, 4, 32), context_layers=2)

    def passes() -> None:
        z = method.encoder.grid(batch["image"])
        trained(nn.Sequential(*method.context), z)

    return method, passes


METHODS = {"SimCLR": simclr, "MoCo": moco, "MoCoV3": moco_v3, "DINO": dino, "DINOv2": dinov2, "MAE": mae, "CPC": cpc}


def row(name: str, batch: dict[str, Any], repeats: int) -> str:
    torch.manual_seed(0)
    method, passes = METHODS[name](batch)
    method.train()

    def step() -> None:
        method(batch)["loss"].backward()
        method.before_step(0.5)
        method.after_step(0.5)

    networks, whole = cpu_seconds((passes, step), repeats)
    return f"| {name} | {networks:.3f} s | {whole:.3f} s | {whole / networks:.3f} |"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--only", default=",".join(METHODS))
    args = parser.parse_args()
    torch.set_num_threads(1)
    views = [torch.rand(args.batch, 3, 32, 32) for _ in range(2)] + [torch.rand(args.batch, 3, 16, 16) for _ in "ab"]
    batch = {"views": views, "image": views[0], "sample_key": torch.arange(args.batch)}

    print(f"Batch {args.batch}, 32 x 32 pixels, ResNet-18 (DINOv2 and MAE: ViT-Ti/4), CPU time.\n")
    print("| method | networks | step | step / networks |\n|---|---|---|---|")
    for name in args.only.split(","):
        print(row(name, batch, args.repeats), flush=True)

    network = resnet()
    teacher = ema_copy(network)

    @torch.no_grad()
    def one_by_one() -> None:
        for average, parameter in zip(teacher.parameters(), network.parameters(), strict=True):
            average.mul_(0.99).add_(parameter, alpha=0.01)

    slow, fast = cpu_seconds((one_by_one, lambda: ema_update(teacher, network, 0.99)), 4 * args.repeats)
    print(f"\nMoving average of ResNet-18: {1e3 * fast:.1f} ms, one parameter after the other {1e3 * slow:.1f} ms.")
    print(f"{platform.processor() or platform.machine()}, torch {torch.__version__}, one thread")


if __name__ == "__main__":
    main()
