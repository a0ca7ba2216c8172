"""Measures mmcontrast on a GPU and writes one Markdown table.

    make gpu                                                     the whole report, at most 8 minutes
    python tests/gpu/report.py --out gpu.md --only losses        one part
    python tests/gpu/report.py --out cpu.md --device cpu --small a rehearsal without a GPU

Each row is printed as soon as it is measured. A part that fails is a row with the reason, and the next part runs.
Times are medians of wall-clock times between two synchronizations; memory is the peak that torch has allocated.
"""

import argparse
import copy
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

BUDGET = 460.0  # seconds; parts that would start later are skipped
DIM = 512


@dataclass
class Settings:
    """Sizes of the measurements.

    Attributes:
        device: Where everything runs.
        small: Whether tiny sizes rehearse the report instead of measuring.
        start: Time at which the report began.
        rows: Rows of the table: part, name, value.
    """

    device: torch.device
    small: bool
    start: float = field(default_factory=time.monotonic)
    rows: list[tuple[str, str, str]] = field(default_factory=list)

    def add(self, part: str, name: str, value: str) -> None:
        """Adds a row and prints it."""
        self.rows.append((part, name, value))
        print(f"[{time.monotonic() - self.start:5.0f} s] {part:<12} {name:<44} {value}", flush=True)


def synchronize(settings: Settings) -> None:
    if settings.device.type == "cuda":
        torch.cuda.synchronize()


def seconds(call: Callable[[], object], settings: Settings, repeats: int = 7, warm_up: int = 2) -> float:
    """Returns the median time of one call in seconds."""
    for _ in range(1 if settings.small else warm_up):
        call()
    times = []
    for _ in range(1 if settings.small else repeats):
        synchronize(settings)
        start = time.perf_counter()
        call()
        synchronize(settings)
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def peak_megabytes(call: Callable[[], object], settings: Settings) -> str:
    """Returns the peak memory of a call above the memory before it, as text; CUDA only."""
    if settings.device.type != "cuda":
        return "-"
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    call()
    return f"{(torch.cuda.max_memory_allocated() - before) / 2**20:,.0f} MB"


def environment(settings: Settings) -> None:
    """Writes down the card and the versions."""
    cuda = settings.device.type == "cuda"
    card = torch.cuda.get_device_name() if cuda else platform.processor() or platform.machine()
    settings.add("machine", "device", card)
    settings.add(
        "machine", "torch, CUDA, Python", f"{torch.__version__}, {torch.version.cuda}, {sys.version.split()[0]}"
    )


def tests(settings: Settings) -> None:
    """Runs the tests that need a GPU."""
    command = [sys.executable, "-m", "pytest", "-q", "-m", "gpu", "tests"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=5 if settings.small else 200)
    except subprocess.TimeoutExpired:
        settings.add("tests", "pytest -m gpu", "stopped after the time limit")
        return
    lines = done.stdout.strip().splitlines()
    settings.add("tests", "pytest -m gpu", lines[-1].strip("= ") if lines else done.stderr.strip()[-200:])
    for line in lines:
        if line.startswith("FAILED"):
            settings.add("tests", "failed", line.removeprefix("FAILED ")[:160])


def losses(settings: Settings) -> None:
    """Compares the contrastive losses with those of open_clip and lightly."""
    from open_clip.loss import ClipLoss, SigLipLoss

    from mmcontrast.losses import clip_loss, nt_xent, siglip_loss

    count = 512 if settings.small else 32_768
    draw = torch.Generator().manual_seed(0)
    a = F.normalize(torch.randn(count, DIM, generator=draw), dim=1)
    b = F.normalize(a + 3 * torch.randn(count, DIM, generator=draw) / DIM**0.5, dim=1)
    scale, bias = torch.tensor(14.3, device=settings.device), torch.tensor(-10.0, device=settings.device)
    a, b = (x.to(settings.device, torch.bfloat16).requires_grad_() for x in (a, b))
    candidates: dict[str, Callable[[], Tensor]] = {
        "CLIP": lambda: clip_loss(a, b, scale),
        "CLIP, open_clip": lambda: ClipLoss()(a, b, scale.to(a.dtype)),
        "SigLIP": lambda: siglip_loss(a, b, scale, bias),
        "SigLIP, open_clip": lambda: SigLipLoss()(a, b, scale.to(a.dtype), bias.to(a.dtype)),
        "NT-Xent": lambda: nt_xent(a, b, 0.5),
    }
    try:
        from lightly.loss import NTXentLoss

        candidates["NT-Xent, lightly"] = lambda: NTXentLoss(temperature=0.5)(a, b)
    except ImportError:
        settings.add("losses", "NT-Xent, lightly", "lightly is not installed (the bench extra)")
    for name, loss in candidates.items():
        with row(settings, "losses", f"{name}, N = {count:,}, bf16"):
            step = lambda loss=loss: torch.autograd.grad(loss(), (a, b))
            memory = peak_megabytes(step, settings)
            settings.add("losses", f"{name}, N = {count:,}, bf16", f"{1000 * seconds(step, settings):.1f} ms, {memory}")


def training(settings: Settings) -> None:
    """Measures images per second of training steps, beside forward and backward of the bare encoder."""
    from mmcontrast.encoders import TimmEncoder, TinyText
    from mmcontrast.methods import CLIP, DINO, MAE, SimCLR

    size, batch = (32, 8) if settings.small else (224, 256)
    vit = "vit_tiny_patch16_224" if settings.small else "vit_base_patch16_224"

    def encoder(name: str) -> Any:
        return TimmEncoder(name, pretrained=False, image_size=size)

    methods: dict[str, Callable[[], nn.Module]] = {
        f"CLIP {vit}": lambda: CLIP(encoder(vit), TinyText(dim=256), dim=512),
        "SimCLR resnet50": lambda: SimCLR(encoder("resnet18" if settings.small else "resnet50")),
        "DINO vit_small_patch16_224": lambda: DINO(encoder("vit_small_patch16_224")),
        f"MAE {vit}": lambda: MAE(encoder(vit)),
    }
    for name, build in methods.items():
        with row(settings, "training", name):
            method = build().to(settings.device).train()
            speed, used = largest_batch(lambda n, m=method: step_time(m, n, size, settings), batch)
            alone = copy.deepcopy(method.encoder).requires_grad_().train()  # type: ignore[union-attr]
            bare, _ = largest_batch(lambda n, e=alone: bare_time(e, n, size, settings), used)
            ratio = speed / bare
            text = f"{speed:,.0f} images/s at batch {used}, bare encoder {bare:,.0f}, ratio {ratio:.2f}"
            settings.add("training", f"{name}, bf16", text)
            settings.add("training", f"{name}, host waits in a step", host_waits(method, used, size, settings))
            del method, alone
            torch.cuda.empty_cache()


def batch_of(count: int, size: int, settings: Settings) -> dict[str, Any]:
    """Returns a random batch that any of the measured methods can read."""
    draw = torch.Generator().manual_seed(0)
    image = torch.rand(count, 3, size, size, generator=draw).to(settings.device)
    tokens = torch.randint(1, 60, (count, 32), generator=draw).to(settings.device)
    views = [image, image.flip(3)]
    return {"image": image, "views": views, "tokens": tokens, "sample_key": torch.arange(count, device=settings.device)}


def stepper(method: nn.Module, count: int, size: int, settings: Settings) -> Callable[[], None]:
    """Returns a function that does one training step in bf16."""
    batch = batch_of(count, size, settings)
    trained = [p for p in method.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, 1e-4, fused=settings.device.type == "cuda")

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(settings.device.type, torch.bfloat16):
            loss = method(batch)["loss"]
        loss.backward()
        optimizer.step()
        method.after_step(0.5)  # type: ignore[operator]

    return step


def step_time(method: nn.Module, count: int, size: int, settings: Settings) -> float:
    """Returns images per second of training steps."""
    return count / seconds(stepper(method, count, size, settings), settings)


def bare_time(encoder: nn.Module, count: int, size: int, settings: Settings) -> float:
    """Returns images per second of forward and backward passes of an encoder alone."""
    image = batch_of(count, size, settings)["image"]

    def step() -> None:
        with torch.autocast(settings.device.type, torch.bfloat16):
            out = encoder(image)
        out.float().square().mean().backward()
        encoder.zero_grad(set_to_none=True)

    return count / seconds(step, settings)


def largest_batch(measure: Callable[[int], float], batch: int) -> tuple[float, int]:
    """Measures at the largest of ``batch``, half of it, a quarter of it, ... that fits into memory."""
    while True:
        try:
            return measure(batch), batch
        except torch.OutOfMemoryError:
            torch.cuda.empty_cache()
            batch //= 2
            if batch < 2:
                raise


def host_waits(method: nn.Module, count: int, size: int, settings: Settings) -> str:
    """Tells whether the host waits for the device inside a training step."""
    step = stepper(method, count, size, settings)
    step()
    if settings.device.type != "cuda":
        return "not measured without CUDA"
    torch.cuda.set_sync_debug_mode("error")
    try:
        step()
    except RuntimeError as error:
        return f"yes: {str(error).splitlines()[0]}"
    finally:
        torch.cuda.set_sync_debug_mode("default")
    return "none"


def propagation(settings: Settings) -> None:
    """Measures frames per second of mask tracking at 480p."""
    import numpy as np

    from mmcontrast.predict.track import LabelPropagator

    height, width, frames = (64, 96, 4) if settings.small else (480, 854, 40)
    rng = np.random.default_rng(0)
    ground = rng.integers(0, 255, (height, width + 2 * frames, 3), dtype=np.uint8)
    video = np.stack([ground[:, 2 * t : 2 * t + width] for t in range(frames)])
    mask = np.zeros((height, width), np.uint8)
    mask[height // 4 : height // 2, width // 4 : width // 2] = 1
    for dtype in (torch.float32, torch.bfloat16):
        with row(settings, "propagation", f"track-lite, {height}p, {dtype}"):
            tracker = LabelPropagator("track-lite", resolution=height, dtype=dtype, device=settings.device)
            duration = seconds(lambda t=tracker: list(t.iter_masks(video, mask)), settings, repeats=3, warm_up=1)
            settings.add("propagation", f"track-lite, {height}p, {dtype}", f"{frames / duration:.1f} frames/s")


def dense(settings: Settings) -> None:
    """Measures image pairs per second of Dense Object Net training, matches found on the device."""
    from mmcontrast.data import Collate, FindMatches, ToyViews
    from mmcontrast.encoders import TimmEncoder
    from mmcontrast.methods import DenseObjectNet

    size, count = ((48, 64), 2) if settings.small else ((480, 640), 8)
    data = ToyViews(length=count, size=size)
    batch = Collate(None)([data[i] for i in range(count)])
    batch = {name: x.to(settings.device) if isinstance(x, Tensor) else x for name, x in batch.items()}
    find = FindMatches(matches=200 if settings.small else 5000, non_matches=10 if settings.small else 150)
    method = DenseObjectNet(TimmEncoder("resnet34", pretrained=False, output_stride=8), dim=16)
    method.to(settings.device).train()
    optimizer = torch.optim.AdamW(method.parameters(), 1e-4)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(settings.device.type, torch.bfloat16):
            loss = method(find(batch))["loss"]
        loss.backward()
        optimizer.step()

    with row(settings, "dense", f"Dense Object Net resnet34, {size[1]}x{size[0]}"):
        pairs = count / seconds(step, settings)
        settings.add("dense", f"Dense Object Net resnet34, {size[1]}x{size[0]}, bf16", f"{pairs:.1f} pairs/s")


class row:
    """Turns an exception inside a ``with`` block into a row of the table."""

    def __init__(self, settings: Settings, part: str, name: str) -> None:
        self.settings, self.part, self.name = settings, part, name

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: Any, error: BaseException | None, traceback: Any) -> bool:
        if not isinstance(error, Exception):
            return False
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        self.settings.add(self.part, self.name, f"FAILED: {reason[:200]}")
        return True


PARTS = {
    "machine": environment,
    "losses": losses,
    "training": training,
    "propagation": propagation,
    "dense": dense,
    "tests": tests,
}


def table(rows: list[tuple[str, str, str]]) -> Iterator[str]:
    """Yields the lines of a Markdown table."""
    yield "| part | what | measured |"
    yield "|---|---|---|"
    yield from ("| " + " | ".join(cell.replace("|", "/") for cell in line) + " |" for line in rows)


def main(arguments: list[str] | None = None) -> int:
    """Runs the parts; returns 0, or 1 if a row failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="Markdown file to write")
    parser.add_argument("--device", default="cuda", help="device to measure (default: %(default)s)")
    parser.add_argument("--only", choices=PARTS, nargs="+", help="parts to run (default: all)")
    parser.add_argument("--small", action="store_true", help="use tiny sizes, to rehearse the report")
    args = parser.parse_args(arguments)
    if args.device.startswith("cuda") and not torch.cuda.is_available():
        print("There is no CUDA device. Rehearse the report with --device cpu --small.", file=sys.stderr)
        return 2
    settings = Settings(torch.device(args.device), args.small)
    for name in args.only or PARTS:
        if time.monotonic() - settings.start > BUDGET:
            settings.add(name, "skipped", f"{BUDGET:.0f} s had passed")
            continue
        with row(settings, name, "the whole part"):
            PARTS[name](settings)
        args.out.write_text("\n".join(table(settings.rows)) + "\n", encoding="utf-8")
    return int(any("FAILED" in value for _, _, value in settings.rows))


if __name__ == "__main__":
    sys.exit(main())
