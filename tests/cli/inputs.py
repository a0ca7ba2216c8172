"""Small inputs for every command that prints a report, and command lines that use them."""

from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from mmcontrast.data.io.masks import write_mask

COLORS = {"red": (200, 30, 30), "green": (30, 200, 30), "blue": (30, 30, 200)}


def make_inputs(folder: Path) -> dict[str, str]:
    """Writes images, masks, videos and the like; returns their paths by name."""
    random = np.random.default_rng(0)
    for part, count in (("train", 4), ("test", 2)):
        for color, value in COLORS.items():
            (folder / part / color).mkdir(parents=True)
            for number in range(count):
                image = np.clip(np.array(value) + random.normal(0, 20, (32, 32, 3)), 0, 255).astype(np.uint8)
                Image.fromarray(image).save(folder / part / color / f"{number}.png")
    photos = folder / "photos"
    photos.mkdir()
    for color, value in COLORS.items():
        Image.new("RGB", (48, 32), value).save(photos / f"{color}.png")
    (folder / "bad").mkdir()
    Image.new("RGB", (48, 32), "red").save(folder / "bad" / "good.png")
    (folder / "bad" / "bad.png").write_bytes(b"no image")
    frames = folder / "frames"
    frames.mkdir()
    texture = random.integers(0, 255, (48, 80, 3), np.uint8)
    for number in range(3):
        cv2.imwrite(str(frames / f"{number}.png"), texture[:, 4 * number : 64 + 4 * number])
    mask = np.zeros((48, 64), np.uint8)
    mask[10:30, 20:40] = 1
    write_mask(folder / "mask.png", mask)
    return {path.stem: str(path) for path in folder.iterdir()} | {"photo": str(photos / "red.png")}


LAB = ["--model", "lab", "--resolution", "64"]
CLASSES = ["--model", "random:timm:test_vit", "--train-data", "{train}", "--test-data", "{test}", "--no-cache"]

# A command that prints a report -> arguments that it succeeds with, without --out.
WORKING: dict[str, list[str]] = {
    "predict zero-shot": ["--labels", "red,green,blue", "{photos}"],
    "predict match": [*LAB, "--reference", "{photo}", "--points", "5,5", "{photos}"],
    "predict track": [*LAB, "--video", "{frames}", "--mask", "{mask}"],
    "predict features": ["--model", "pixels", "{photos}"],
    "predict colorize": ["{photos}"],
    "eval knn": [*CLASSES, "--k", "3"],
    "eval probe": CLASSES,
    "eval colorize": ["--data", "{photos}"],
}

# Evaluations of larger layouts, whose reports tests/evals checks.
ELSEWHERE = {
    "eval correspondence",
    "eval davis",
    "eval dense",
    "eval few-label",
    "eval keypoints",
    "eval retrieval",
    "eval segment",
    "eval sound-probe",
    "eval zero-shot",
}

# Name, arguments and exit code.
FAILING: list[tuple[str, list[str], int]] = [
    ("predict zero-shot", ["--labels", "red,green", "{bad}"], 1),
    ("predict match", [*LAB, "--reference", "{photo}", "--points", "5,5", "{bad}", "--out", "o"], 1),
    ("predict features", ["--model", "pixels", "{bad}", "--out", "o"], 1),
    ("predict colorize", ["{bad}", "--out", "o"], 1),
    ("predict zero-shot", ["--labels", "red,green", "no-such-folder"], 1),
    ("predict zero-shot", ["--labels", "red,green", "--model", "no-such-model", "{photos}"], 2),
    ("predict zero-shot", ["{photos}"], 2),
    ("predict track", [*LAB, "--video", "no.mp4", "--points", "5,5", "--out", "o"], 2),
    ("predict track", [*LAB, "--video", "{frames}", "--points", "500,5", "--out", "o"], 2),
    ("predict track", [*LAB, "--video", "{frames}", "--out", "o"], 2),
    ("predict match", [*LAB, "--reference", "{photo}", "--points", "5", "{photos}", "--out", "o"], 2),
    ("predict features", ["--model", "pixels", "--show", "no-such-view", "{photos}", "--out", "o"], 2),
    ("export", ["no-such-model", "--out", "o"], 2),
    ("export", ["clip-lite"], 2),
]
