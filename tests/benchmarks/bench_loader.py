"""Images a second on one core: from an encoded JPEG to augmented float tensors, against lightly and open_clip.

python tests/benchmarks/bench_loader.py
"""

import io
import platform
import time
import warnings
from collections.abc import Callable
from statistics import median

import cv2
import numpy as np
import torch
from PIL import Image
from sklearn.datasets import load_sample_images

from mmcontrast.data.augment.views import OneView, ToFloat, TwoViews
from mmcontrast.data.collate import Collate
from mmcontrast.data.io.decode import decode
from mmcontrast.data.io.resize import crop, random_crop
from mmcontrast.train.cpu import tune_cpu

ROUNDS = 15


def jpegs(height: int, width: int, count: int = 64) -> list[bytes]:
    """Regions of two photographs, resized and encoded."""
    generator, encoded = np.random.default_rng(0), []
    for i in range(count):
        photo = load_sample_images().images[i % 2]  # (427, 640, 3)
        top, left = generator.integers(0, 200), generator.integers(0, 300)
        region = cv2.resize(photo[top : top + 227, left : left + 340], (width, height), interpolation=cv2.INTER_AREA)
        file = io.BytesIO()
        Image.fromarray(region).save(file, "JPEG", quality=90)
        encoded.append(file.getvalue())
    return encoded


def per_second(images: int, *runs: Callable[[], object]) -> list[float]:
    """Images a second of CPU time of each, in turn: the medians of several rounds after one to warm up."""
    seconds: list[list[float]] = [[] for _ in runs]
    for _ in range(1 + ROUNDS):
        for run, spent in zip(runs, seconds, strict=True):
            start = time.process_time()
            run()
            spent.append(time.process_time() - start)
    return [images / median(spent[1:]) for spent in seconds]


def ours(encoded: list[bytes], size: int, augment: torch.nn.Module, random: bool = False) -> Callable[[], object]:
    """Decode and bring to a size, as the workers do; collate; augment the batch."""

    def sample(key: int, data: bytes) -> dict[str, object]:
        image = decode(data, at_least=int(1.5 * size) if random else size)
        image = random_crop(image, size, np.random.default_rng(key)) if random else crop(image, size)
        return {"image": torch.from_numpy(image).permute(2, 0, 1), "sample_key": key}

    return lambda: augment(Collate()([sample(key, data) for key, data in enumerate(encoded)]))


def theirs(encoded: list[bytes], transform: Callable[[Image.Image], object]) -> Callable[[], object]:
    return lambda: [transform(Image.open(io.BytesIO(data)).convert("RGB")) for data in encoded]


def main() -> None:
    """Prints the table."""
    warnings.simplefilter("ignore")
    tune_cpu()  # as `fit` does; it serves both sides
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    rows = []

    from lightly.transforms import SimCLRTransform

    cases = [(32, 32, {"strength": 0.5, "blur": (0.0, 0.0)}, {"cj_strength": 0.5, "gaussian_blur": 0.0})]
    cases += [(64, 64, {}, {}), (224, 256, {}, {})]
    for size, side, our_options, their_options in cases:
        encoded = jpegs(side, side, 16 if size > 100 else 64)
        our, their = per_second(
            len(encoded),
            ours(encoded, side, TwoViews(size, **our_options)),
            theirs(encoded, SimCLRTransform(input_size=size, **their_options)),
        )
        blurred = "" if size == 32 else ", blur"
        rows.append((f"two SimCLR views, {size} px{blurred}", "lightly", 2 * our, 2 * their))

    from open_clip.transform import image_transform

    encoded = jpegs(400, 600, 16)
    in_worker, from_batch, their = per_second(
        len(encoded),
        ours(encoded, 224, ToFloat(), random=True),
        ours(encoded, 224, OneView(224)),
        theirs(encoded, image_transform(224, is_train=True)),
    )
    rows.append(("one random crop in the worker, 600 x 400 to 224 px", "open_clip", in_worker, their))
    rows.append(("the same from the batch (OneView)", "open_clip", from_batch, their))

    print("| from JPEG | against | ours, views/s | theirs, views/s | ratio |\n|---|---|---|---|---|")
    for name, peer, our, their in rows:
        print(f"| {name} | {peer} | {our:,.0f} | {their:,.0f} | {our / their:.1f} |")
    print(f"\nOne core of {processor()}, torch {torch.__version__}, CPU time, medians of {ROUNDS}.")


def processor() -> str:
    """The processor's name."""
    try:
        with open("/proc/cpuinfo") as file:
            names = [line.partition(":")[2].strip() for line in file if line.startswith("model name")]
    except OSError:
        names = []
    return names[0] if names else platform.processor() or platform.machine()


if __name__ == "__main__":
    main()
