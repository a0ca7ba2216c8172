"""Every kind of image, sound and hostile, through the doors that users open: predictions and training."""

import csv
import io
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmcontrast.cli.main import main
from mmcontrast.data import Images
from mmcontrast.data.io.decode import ImageError, decode
from tests.color_clip import color_clip
from tests.train.tiny import Regress, train

RED = Image.new("RGB", (40, 30), (200, 0, 0))


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def turned(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encoded(RED, "JPEG", exif=exif)


def half_clear() -> Image.Image:
    """A palette of red and of a color that is transparent."""
    image = Image.new("P", (40, 30))
    image.putpalette([200, 0, 0, 0, 0, 200])
    image.paste(1, (0, 0, 5, 5))
    return image


def sixteen_bits(level: int) -> Image.Image:
    return Image.fromarray(np.full((30, 40), level, np.uint16))


ORIENTED = bytes.fromhex("49492a0008000000010012010300010000000600000000000000")  # little endian, one entry: 6
SOUND = {
    "cmyk.jpg": (encoded(RED.convert("CMYK"), "JPEG"), "red"),
    "palette-alpha.png": (encoded(half_clear(), "PNG", transparency=1), "red"),
    "animated.gif": (encoded(RED, "GIF", save_all=True, append_images=[Image.new("RGB", (40, 30), "blue")]), "red"),
    "one-bit.png": (encoded(Image.new("1", (40, 30), 1), "PNG"), "gray"),
    "16-bit-dark.png": (encoded(sixteen_bits(9000), "PNG"), "gray"),
    "16-bit-bright.tif": (encoded(sixteen_bits(60000), "TIFF"), "gray"),
    "webp.webp": (encoded(RED, "WEBP"), "red"),
    "bmp.bmp": (encoded(RED, "BMP"), "red"),
    **{f"exif-{i}.jpg": (turned(i), "red") for i in range(1, 9)},
}
NAN = np.full((30, 40), 0.5, np.float32)
NAN[3, 3] = np.nan
HOSTILE = {
    "zero.jpg": (b"", "empty"),
    "truncated.jpg": (encoded(RED.resize((400, 300)), "JPEG", quality=95)[:-400], "truncated"),
    "truncated.png": (encoded(RED, "PNG")[:-40], "cannot be decoded"),
    "page.jpg": (b"<!DOCTYPE html><html><body>404</body></html>", "HTML"),
    "drawing.png": (b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"/>', "SVG"),
    "line.png": (encoded(Image.new("L", (20000, 1)), "PNG"), "50 times"),
    "huge.png": (encoded(Image.new("1", (13000, 13000)), "PNG"), "169 Mpx"),
    "nan.tif": (encoded(Image.fromarray(NAN), "TIFF"), "NaN"),
}


@pytest.fixture(scope="module")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("zoo")
    for name, (data, _) in (SOUND | HOSTILE).items():
        (folder / name).write_bytes(data)
    return folder


def test_the_right_label_or_one_error_row(zoo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MMCONTRAST_CACHE", str(tmp_path))
    monkeypatch.setattr("mmcontrast.predict.base.load", lambda name: color_clip())
    out = tmp_path / "out.csv"
    labels = ["--labels", "red,blue,gray", "--templates", "none"]
    assert main(["predict", "zero-shot", "--model", "color", *labels, "--out", str(out), str(zoo)]) == 1
    with out.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    found = {Path(row["path"]).name: row for row in rows}
    assert len(rows) == len(found) == len(SOUND) + len(HOSTILE)
    assert {name: found[name]["label"] for name in SOUND} == {name: label for name, (_, label) in SOUND.items()}
    for name, (_, reason) in HOSTILE.items():
        assert found[name]["label"] == ""
        assert reason in found[name]["error"]


class Levels(Images):
    """What the tiny method trains on, of real image files."""

    def __getitem__(self, sample_key):
        sample = super().__getitem__(sample_key)
        if image := sample.pop("image", None) is not None:
            sample["index"] = sample_key.index
            sample["x"] = np.full(4, float(image), np.float32)
        return sample


def test_training_counts_broken_files_and_stops_above_one_percent(tmp_path: Path):
    folder = tmp_path / "images"
    folder.mkdir()
    for i in range(32):
        (folder / f"{i:02}.png").write_bytes(encoded(RED, "PNG"))
    for name, (data, _) in list(HOSTILE.items())[:5]:
        (folder / name).write_bytes(data)
    train(tmp_path / "run", Regress(), Levels(folder, 8), workers=2)
    assert (tmp_path / "run" / "metrics.csv").read_text().splitlines()[-1].split(",")[-1] in {
        "3.0",
        "4.0",
        "5.0",
    }  # of 37 files, 32 are drawn
    (folder / "empty.jpg").write_bytes(b"")
    with pytest.raises(ImageError, match=r"[67] of \d+ images could not be read, more than 1%") as caught:
        train(tmp_path / "other", Regress(), Levels(folder, 8), max_epochs=2)
    assert str(folder) in str(caught.value)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_strips_are_laid_where_the_orientation_wants_them(orientation: int, monkeypatch: pytest.MonkeyPatch):
    exif = Image.Exif()
    exif[0x0112] = orientation
    noise = np.random.default_rng(0).integers(0, 256, (30, 40, 3), np.uint8)
    data = encoded(Image.fromarray(noise), "PNG", exif=exif)
    whole = decode(data)
    monkeypatch.setattr("mmcontrast.data.io.decode._STRIP_PIXELS", 7 * 40)
    np.testing.assert_array_equal(decode(data), whole)


def test_no_reader_is_asked_that_would_run_a_program(tmp_path: Path):
    drawing = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n"
    with pytest.raises(ImageError, match="cannot identify"):
        decode(drawing)
    (tmp_path / "x.png").write_bytes(drawing)
    with pytest.raises(ImageError, match=r"x\.png: cannot be decoded"):
        decode(tmp_path / "x.png")


@pytest.mark.parametrize("options", [{}, {"lossless": True}, {"exif": b"Exif\0\0" + ORIENTED}])
def test_a_webp_is_refused_before_its_reader_takes_memory(options: dict, monkeypatch: pytest.MonkeyPatch):
    data = encoded(Image.new("RGB", (300, 200), "red"), "WEBP", **options)
    assert sorted(decode(data).shape) == [3, 200, 300]
    monkeypatch.setattr("mmcontrast.data.io.decode._MAX_WEBP", 50_000)
    monkeypatch.setattr(Image, "open", lambda *_, **__: pytest.fail("the reader was asked"))
    with pytest.raises(ImageError, match="is 300x200"):
        decode(data)


LARGE = {
    "rgb.png": lambda size: encoded(Image.new("RGB", size), "PNG", compress_level=1),
    "rgba.png": lambda size: encoded(Image.new("RGBA", size), "PNG", compress_level=1),
    "palette-alpha.png": lambda size: encoded(Image.new("P", size), "PNG", transparency=0, compress_level=1),
    "16-bit.png": lambda size: encoded(Image.new("I;16", size), "PNG", compress_level=1),
    "one-bit.png": lambda size: encoded(Image.new("1", size), "PNG"),
    "cmyk.jpg": lambda size: encoded(Image.new("CMYK", size), "JPEG"),
    "progressive.jpg": lambda size: encoded(Image.new("RGB", size), "JPEG", progressive=True),
    "turned.png": lambda size: encoded(Image.new("RGB", size), "PNG", compress_level=1, exif=b"Exif\0\0" + ORIENTED),
    "turned.jpg": lambda size: encoded(Image.new("RGB", size), "JPEG", exif=b"Exif\0\0" + ORIENTED),
    "float.tif": lambda size: encoded(Image.new("F", size), "TIFF"),
    "animated.gif": lambda size: encoded(
        Image.new("L", size), "GIF", save_all=True, append_images=[Image.new("L", size, 9)]
    ),
    "bitmap.bmp": lambda size: encoded(Image.new("RGB", size), "BMP"),
    "webp.webp": lambda size: encoded(Image.new("RGB", (size[0], 3500)), "WEBP", quality=50, method=0),
    "webp-alpha.webp": lambda size: encoded(Image.new("RGBA", (size[0], 3500)), "WEBP", quality=50, method=0),
}
PEAK = """
import os, sys
from pathlib import Path
from mmcontrast.data.io.decode import ImageError, decode, load

def peak():
    return int(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1])

for path in sorted(Path(sys.argv[1]).iterdir()):
    if os.fork() == 0:  # a process for each, whose peak is its own
        before = peak()
        try:
            load(path, 224)
            state = "read"
        except ImageError:
            state = "refused"
        print(path.name, state, (peak() - before) // 1024, flush=True)
        os._exit(0)
    os.wait()
"""


@pytest.mark.slow
def test_no_image_needs_more_than_half_a_gigabyte(zoo: Path, tmp_path: Path):
    """Measured at the largest size that is read, 50 Mpx (WebP: 25), and on what is refused."""
    for name, make in LARGE.items():
        (tmp_path / name).write_bytes(make((7000, 7142)))
    for name in HOSTILE:
        os.link(zoo / name, tmp_path / f"hostile-{name}")
    run = subprocess.run([sys.executable, "-c", PEAK, str(tmp_path)], capture_output=True, text=True, check=True)
    rows = [line.split() for line in run.stdout.splitlines()]
    states = {name: state for name, state, _ in rows}
    assert states == dict.fromkeys(LARGE, "read") | {f"hostile-{name}": "refused" for name in HOSTILE}
    print(*rows, sep="\n")
    assert {name: int(size) for name, _, size in rows if int(size) > 500} == {}
