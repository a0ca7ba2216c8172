"""Contrastive losses beside open_clip and lightly: time, extra memory and rounding of forward + backward.

CPU seconds on one thread, medians of 31 steps up to N = 512, of three up to N = 4,096, else of one; extra memory is
the growth of the peak resident size.  Each in a fork of one process that has not allocated anything yet.  With a CUDA
device, a second table in bf16: device milliseconds and peak allocated memory.
"""

import argparse
import multiprocessing
import os
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import lightly
import open_clip
import torch
from lightly.loss import NTXentLoss
from open_clip.loss import ClipLoss, SigLipLoss
from torch import Tensor
from torch.nn import functional as F

from mmcontrast.losses import clip_loss, nt_xent, siglip_loss

DIM = 512
T = TypeVar("T")
Loss = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]

# lightly normalizes inside, so ours is timed with the normalization that stands before it.
LOSSES: dict[str, tuple[Loss, Loss]] = {
    "CLIP": (lambda a, b, s, t: clip_loss(a, b, s), lambda a, b, s, t: ClipLoss()(a, b, s)),
    "SigLIP": (lambda a, b, s, t: siglip_loss(a, b, s, t), lambda a, b, s, t: SigLipLoss()(a, b, s, t)),
    "NT-Xent": (
        lambda a, b, s, t: nt_xent(F.normalize(a, dim=1), F.normalize(b, dim=1), 0.5),
        lambda a, b, s, t: NTXentLoss(temperature=0.5)(a, b),
    ),
}
# N x N matrices of the peers' logits alive at their peak, found from the figures at N = 4,096.
PEER_MATRICES = {"CLIP": 4.0, "SigLIP": 5.0, "NT-Xent": 16.5}
PEER_LIMIT = 8192  # beyond, only the memory that a peer would need is given


def inputs(n: int, device: str = "cpu", dtype: torch.dtype = torch.float32) -> list[Tensor]:
    """Unit vectors a and b, (n, D), partners related; scale and bias: all leaves."""
    draw = torch.Generator().manual_seed(0)
    a = F.normalize(torch.randn(n, DIM, generator=draw), dim=1)
    b = F.normalize(a + 3 * torch.randn(n, DIM, generator=draw) / DIM**0.5, dim=1)
    scale, bias = torch.tensor(14.3), torch.tensor(-10.0)
    return [x.to(device, dtype).requires_grad_() for x in (a, b)] + [
        x.to(device).requires_grad_() for x in (scale, bias)
    ]


def step(loss: Loss, leaves: list[Tensor]) -> None:
    for leaf in leaves:
        leaf.grad = None
    loss(*leaves).backward()


def measure(name: str, which: int, n: int) -> tuple[float, int]:
    """CPU seconds of a step and the bytes by which the peak resident size rises above the size before."""
    loss, leaves, times = LOSSES[name][which], inputs(n), []
    step(loss, inputs(32))
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts from here
    before = _resident("VmRSS")
    for _ in range(31 if n <= 512 else 3 if n <= 4096 else 1):
        start = time.process_time()
        step(loss, leaves)
        times.append(time.process_time() - start)
    return statistics.median(times), _resident("VmHWM") - before


def in_fork(function: Callable[[str, int, int], T], name: str, which: int, n: int) -> T:
    with multiprocessing.get_context("fork").Pool(1) as pool:
        return pool.apply(function, (name, which, n))


def _resident(field: str) -> int:
    line = next(x for x in Path("/proc/self/status").read_text().splitlines() if x.startswith(field))
    return int(line.split()[1]) * 1024


def gradient_error(name: str, which: int, n: int) -> float:
    """Relative error of the gradient of a against float64, in the Euclidean norm."""
    leaves = inputs(n)
    step(LOSSES[name][which], leaves)
    exact = [x.detach().double().requires_grad_() for x in inputs(n)]
    # float64 of our own loss, which the tests hold to the formulas, needs no N x N memory
    step(LOSSES[name][0], exact)
    assert leaves[0].grad is not None
    assert exact[0].grad is not None
    return float((leaves[0].grad.double() - exact[0].grad).norm() / exact[0].grad.norm())


def cpu_table(sizes: list[int]) -> None:
    print("| loss | N | seconds | peer | ratio | extra MB | peer | 8 N D x 4 bytes | error | peer |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_AVPHYS_PAGES")
    for name in LOSSES:
        for n in sizes:
            seconds, extra = in_fork(measure, name, 0, n)
            need = PEER_MATRICES[name] * n * n * 4
            if n <= PEER_LIMIT and need < 0.6 * memory:
                peer_seconds, peer_extra = in_fork(measure, name, 1, n)
                times = [f"{seconds:.3g}", f"{peer_seconds:.3g}", f"{seconds / peer_seconds:.2f}"]
            else:
                peer_extra, times = need, [f"{seconds:.3g}", "not run", "-"]
            sizes_mb = [f"{x / 1e6:,.0f}" for x in (extra, peer_extra, 8 * n * DIM * 4)]
            errors = [f"{in_fork(gradient_error, name, i, n):.1e}" if n <= 1024 else "-" for i in range(2)]
            print(f"| {name} | {n:,} | {' | '.join(times + sizes_mb + errors)} |", flush=True)


def gpu_table(sizes: list[int]) -> None:
    print("\n| loss, bf16 | N | ms | peer | ratio | peak extra MB | peer |\n|---|---|---|---|---|---|---|")
    for name, pair in LOSSES.items():
        for n in sizes:
            cells, times = [], []
            for loss in pair:
                leaves = inputs(n, "cuda", torch.bfloat16)
                step(loss, leaves)
                torch.cuda.reset_peak_memory_stats()
                before = torch.cuda.memory_allocated()
                step(loss, leaves)
                cells.append(f"{(torch.cuda.max_memory_allocated() - before) / 1e6:.0f}")
                start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
                start.record()
                for _ in range(10):
                    step(loss, leaves)
                end.record()
                torch.cuda.synchronize()
                times.append(start.elapsed_time(end) / 10)
            print(
                f"| {name} | {n:,} | {times[0]:.2f} | {times[1]:.2f} | {times[0] / times[1]:.2f}"
                f" | {' | '.join(cells)} |"
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[64, 256, 1024, 4096, 8192, 16384])
    args = parser.parse_args()
    torch.set_num_threads(1)
    cpu_table(args.sizes)
    if torch.cuda.is_available():
        gpu_table(args.sizes)
    model = next((x for x in Path("/proc/cpuinfo").read_text().splitlines() if x.startswith("model name")), "")
    print(
        f"\n{model.partition(': ')[2] or platform.processor()}, one thread, torch {torch.__version__},"
        f" open_clip {open_clip.__version__}, lightly {lightly.__version__}, D = {DIM},"
        f" float32 matmul precision '{torch.get_float32_matmul_precision()}'"
    )


if __name__ == "__main__":
    main()
