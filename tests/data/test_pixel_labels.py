from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmcontrast.data.datasets.pixel_labels import PixelLabels
from mmcontrast.errors import InputError


def write(folder: Path, name: str) -> Path:
    """Writes an image and its classes; returns the file of the classes."""
    for part in ("images", "masks"):
        (folder / part).mkdir(exist_ok=True)
    Image.fromarray(np.zeros((8, 9, 3), np.uint8)).save(folder / "images" / f"{name}.jpg")
    Image.fromarray(np.full((8, 9), int(name), np.uint8)).save(folder / "masks" / f"{name}.png")
    return folder / "masks" / f"{name}.png"


def test_images_come_in_natural_order_with_their_own_classes(tmp_path: Path):
    for name in ("10", "9", "1"):
        write(tmp_path, name)
    pairs = PixelLabels(tmp_path)
    assert [pairs.labels(index).max() for index in range(3)] == [1, 9, 10]


@pytest.mark.parametrize("damage", ["cut", "text", "heic", "large", "long", "color", "empty"])
def test_a_damaged_mask_is_named(damage: str, tmp_path: Path):
    path = write(tmp_path, "1")
    good = path.read_bytes()
    if damage in ("large", "long", "color"):
        shape = {"large": (9_000, 9_000), "long": (1, 60), "color": (8, 9, 3)}[damage]
        Image.fromarray(np.zeros(shape, np.uint8)).save(path, compress_level=1)
    else:
        data = {"cut": good[:-20], "text": b"hello", "heic": b"\0\0\0\x18ftypheic" + bytes(40), "empty": b""}
        path.write_bytes(data[damage])
    with pytest.raises(InputError, match=r"1\.png"):
        PixelLabels(tmp_path).labels(0)
