"""A training step of VideoColor and MAST over its bare encoder's forward and backward: what the method itself costs.

python tests/benchmarks/bench_video_step.py
"""

import platform
import time
from collections.abc import Callable
from typing import Any

import torch

from mmcontrast.encoders import TimmEncoder
from mmcontrast.methods import MAST, VideoColor

FRAMES, SIZE, REPEATS = 4, 256, 5
METHODS: dict[str, tuple[type[VideoColor | MAST], dict[str, Any]]] = {
    "all pixels, color bins (VideoColor)": (VideoColor, {}),
    "window 6, hidden channel (MAST)": (MAST, {}),
    "the same with a random walk": (MAST, {"l2_normalize": True, "walk_weight": 0.1}),
}


def median(step: Callable[[], None]) -> float:
    step()
    times = []
    for _ in range(REPEATS):
        start = time.process_time()
        step()
        times.append(time.process_time() - start)
    return sorted(times)[REPEATS // 2]


def main() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    print(f"ResNet-18 at stride 8, one clip of {FRAMES} frames of {SIZE}x{SIZE}, one thread, CPU seconds\n")
    print("| objective | encoder alone | step | ratio |\n|---|---|---|---|")
    clip = torch.rand(1, FRAMES, 3, SIZE, SIZE)
    batch = {"clip": clip, "sample_key": torch.zeros(1, dtype=torch.int64)}
    for name, (method_class, options) in METHODS.items():
        method = method_class(TimmEncoder("resnet18", output_stride=8), **options)

        def alone(method: VideoColor | MAST = method) -> None:
            method.encoder.grid(clip.flatten(0, 1)).sum().backward()

        def step(method: VideoColor | MAST = method) -> None:
            method(batch)["loss"].backward()

        bare, whole = median(alone), median(step)
        print(f"| {name} | {bare:.2f} | {whole:.2f} | {whole / bare:.2f} |", flush=True)
    print(f"\n{platform.processor() or platform.machine()}, torch {torch.__version__}")


if __name__ == "__main__":
    main()
