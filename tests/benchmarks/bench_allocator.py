"""What ``fit``'s allocator setting saves: CPU seconds of a training step with glibc's defaults and with ours.

python tests/benchmarks/bench_allocator.py [--network tf_efficientnet_lite0] [--batch 64] [--size 160]

Each row is a process of its own, since the setting belongs to the process.
"""

import argparse
import platform
import resource
import statistics
import subprocess
import sys
import time

import timm
import torch

from mmcontrast.train.cpu import tune_cpu


def measure(args: argparse.Namespace) -> None:
    if args.tuned:
        tune_cpu()
    torch.set_num_threads(1)
    network = timm.create_model(args.network, num_classes=0)
    images = torch.rand(args.batch, 3, args.size, args.size)
    whole, kernel = [], []
    for _ in range(args.repeats + 1):
        before, start = resource.getrusage(resource.RUSAGE_SELF), time.process_time()
        network(images).square().mean().backward()
        whole.append(time.process_time() - start)
        kernel.append(resource.getrusage(resource.RUSAGE_SELF).ru_stime - before.ru_stime)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    step, system = statistics.median(whole[1:]), statistics.median(kernel[1:])
    print(f"| {'tuned' if args.tuned else 'glibc'} | {step:.2f} | {system:.2f} | {peak:,.0f} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--network", default="tf_efficientnet_lite0")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--size", type=int, default=160)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--tuned", action=argparse.BooleanOptionalAction, help="one row only, in this process")
    args = parser.parse_args()
    if args.tuned is not None:
        return measure(args)
    print(f"{args.network}, batch {args.batch}, {args.size} x {args.size}, forward + backward.\n", flush=True)
    print("| allocator | CPU seconds | in the kernel | peak MB |\n|---|---|---|---|", flush=True)
    for flag in ("--no-tuned", "--tuned"):
        subprocess.run([sys.executable, __file__, *sys.argv[1:], flag], check=True)
    print(f"\n{platform.processor() or platform.machine()}, torch {torch.__version__}, one thread")


if __name__ == "__main__":
    main()
