"""Zero-shot classification from JPEG files, beside open_clip's own pipeline with the same weights, on one CPU thread.

python tests/benchmarks/bench_zero_shot.py [--arch ViT-S-32] [--files 64]
"""

import argparse
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import cv2
import open_clip
import torch
from PIL import Image

from mmcontrast.cli.quickstart import LABELS, PHOTOGRAPHS
from mmcontrast.data.datasets.prompt_templates import SIMPLE
from mmcontrast.inference.prompts import PromptSet, embed_prompts
from mmcontrast.models.loading import load
from mmcontrast.predict.zero_shot import ZeroShotClassifier

BATCH = 32


def cpu_seconds(work: Callable[[], object], repeats: int) -> float:
    """Median CPU time of all threads of this process, after one run to warm up."""
    work()
    seconds = []
    for _ in range(repeats):
        start = time.process_time()
        work()
        seconds.append(time.process_time() - start)
    return statistics.median(seconds)


def row(name: str, unit: str, count: int, theirs: float, ours: float) -> str:
    return f"| {name} | {count / theirs:.1f} | {count / ours:.1f} {unit} | {theirs / ours:.2f} |"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--arch", default="ViT-S-32")
    parser.add_argument("--files", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    torch.manual_seed(0)

    photographs = [file for photograph in PHOTOGRAPHS if (file := photograph.file())]
    small = [photographs[i % len(photographs)] for i in range(args.files)]
    theirs = open_clip.create_model(args.arch).eval()
    transform = open_clip.image_transform(theirs.visual.image_size, is_train=False)
    tokenizer = open_clip.get_tokenizer(args.arch)
    with tempfile.TemporaryDirectory() as folder:
        torch.save(theirs.state_dict(), Path(folder, "weights.pt"))
        ours = load(f"open_clip:{args.arch}/{Path(folder, 'weights.pt')}")
    templates = [lambda name, template=template: template.replace("{}", name) for template in SIMPLE]
    prompts = PromptSet(LABELS, "simple")

    @torch.inference_mode()
    def their_labels() -> torch.Tensor:
        return open_clip.build_zero_shot_classifier(theirs, tokenizer, LABELS, templates)

    classifier = their_labels()

    @torch.inference_mode()
    def their_images(files: list[Path]) -> torch.Tensor:
        found = []
        for start in range(0, len(files), BATCH):
            images = torch.stack([transform(Image.open(file)) for file in files[start : start + BATCH]])
            features = theirs.encode_image(images, normalize=True)
            found.append((theirs.logit_scale.exp() * features @ classifier).softmax(1))
        return torch.cat(found)

    classify = ZeroShotClassifier(ours, LABELS, device="cpu", batch_size=BATCH, cache=False)
    print("| work | open_clip, per s | mmcontrast, per s | ratio |\n|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        large = [Path(folder, f"{i}.jpg") for i in range(args.files // 4)]
        for source, file in zip(small, large, strict=False):
            with Image.open(source) as image:
                image.convert("RGB").resize((4000, 3000)).save(file, quality=90)
        differences = []
        for name, files in (("JPEG of 0.07 to 0.6 Mpx", small), ("JPEG of 12 Mpx", large)):
            theirs_s = cpu_seconds(partial(their_images, files), args.repeats)
            ours_s = cpu_seconds(partial(classify.probabilities, files), args.repeats)
            print(row(f"{name} to probabilities, {args.arch}", "images", len(files), theirs_s, ours_s))
            differences.append((their_images(files) - classify.probabilities(files)).abs().max().item())
    count = len(LABELS) * len(SIMPLE)
    seconds = cpu_seconds(their_labels, 1), cpu_seconds(lambda: embed_prompts(ours, prompts, cache=False), 1)
    print(row("label vectors, 7 templates", "prompts", count, *seconds))
    print(
        f"\nLargest difference of a probability: {max(differences):.1e}; batch {BATCH}, {args.files} files, one thread."
    )
    print(f"{cpu_name()}, torch {torch.__version__}, open_clip {open_clip.__version__}")


def cpu_name() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    return next((line.split(": ")[1] for line in lines if line.startswith("model name")), platform.processor())


if __name__ == "__main__":
    main()
