"""Label propagation alone at 480p: seconds and memory per frame for each preset, beside the dense formula.

python tests/benchmarks/bench_propagation.py [--dense]
"""

import argparse
import platform
import subprocess
import sys
import time
from pathlib import Path

import torch
import torch.nn.functional as F

from mmcontrast.ops.affinity import Window, affinity, propagate

GRID = (60, 107)
# name: frames of context, of which unrestricted, window, topk, temperature
PRESETS = {
    "dino": (8, 0, Window(12), 5, 0.1),
    "crw": (21, 1, Window(11.99, "circle"), 10, 0.05),
}


def resident(field: str) -> float:
    """A size in MB from this process's status (Linux)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field)) / 1024


def measure(preset: str, dim: int, dtype: torch.dtype, labels: int, dense: bool, repeats: int) -> str:
    context, everywhere, window, topk, temperature = PRESETS[preset]
    h, w = GRID
    generator = torch.Generator().manual_seed(0)
    frames = (torch.randn(h, w, dim, generator=generator) for _ in range(context + 1))
    *keys, query = [F.normalize(frame, dim=-1).to(dtype) for frame in frames]
    known = torch.rand(context, h, w, labels, generator=generator)
    mask = window.mask(h, w).repeat(1, context) if dense else None

    def step() -> None:
        if dense:
            flat = torch.stack(keys).flatten(0, 2)[None]
            affinity(query.flatten(0, 1)[None], flat, temperature, topk, mask) @ known.flatten(0, 2)
        else:
            propagate(query, keys, known, temperature, topk, window, everywhere)

    Path("/proc/self/clear_refs").write_text("5")  # the peak of resident memory starts anew
    before = resident("VmRSS")
    step()
    extra = resident("VmHWM") - before
    seconds = []
    for _ in range(repeats):
        start = time.process_time()
        step()
        seconds.append(time.process_time() - start)
    held = sum(key.nbytes for key in keys) / 1e6
    form = "dense formula" if dense else "tiles"
    kind = str(dtype).removeprefix("torch.")
    return f"| {preset} | {form} | {kind} | {dim} | {sorted(seconds)[repeats // 2]:.3f} | {extra:.0f} | {held:.0f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--one", nargs=3, metavar=("PRESET", "DIM", "FORM"), help=argparse.SUPPRESS)
    parser.add_argument("--dense", action="store_true", help="also time the dense formula (gigabytes, tens of seconds)")
    args = parser.parse_args()
    torch.set_num_threads(1)
    if args.one:  # a process of its own, so that the peak of memory is this row's
        preset, dim, form = args.one
        dtype = torch.bfloat16 if form == "bfloat16" else torch.float32
        print(measure(preset, int(dim), dtype, 2, form == "dense", 1 if form == "dense" else 5))
        return
    print(f"Propagation alone, {GRID[1]}x{GRID[0]} cells (480p at stride 8), 2 labels, one thread, CPU time\n")
    print(
        "| preset | form | numbers | channels | s/frame | extra MB | context MB |\n|---|---|---|---|---|---|---|",
        flush=True,
    )
    rows = [(preset, dim, form) for preset in PRESETS for dim in ("384", "152") for form in ("float32", "bfloat16")]
    for row in rows + [("dino", "384", "dense")] * args.dense:
        subprocess.run([sys.executable, __file__, "--one", *row], check=True)
    print(f"\n{platform.processor() or platform.machine()}, torch {torch.__version__}")


if __name__ == "__main__":
    main()
