import os
import warnings

import cv2
import numpy as np
import pytest
from PIL import Image

from mmcontrast.data.io.masks import palette, read_mask, write_mask
from mmcontrast.errors import InputError

IDS = (np.arange(12 * 20).reshape(12, 20) // 60).astype(np.uint8)


def test_palette_is_that_of_davis():
    wanted = [(0, 0, 0), (128, 0, 0), (0, 128, 0), (128, 128, 0), (0, 0, 128), (128, 0, 128), (0, 128, 128)]
    assert palette()[:7].tolist() == [list(color) for color in wanted]
    assert len(np.unique(palette(), axis=0)) == 256


def test_round_trip(tmp_path):
    write_mask(tmp_path / "mask.png", IDS)
    assert (read_mask(tmp_path / "mask.png") == IDS).all()
    with Image.open(tmp_path / "mask.png") as image:
        assert image.mode == "P"
        assert image.convert("RGB").getpixel((0, 3)) == (128, 0, 0)


@pytest.mark.parametrize(
    ("image", "wanted"),
    [
        (Image.fromarray(IDS), IDS),
        (Image.fromarray((IDS > 1).astype(np.uint8) * 255), IDS > 1),
        (Image.fromarray((IDS > 1).astype(np.uint8) * 255).convert("1"), IDS > 1),
        (Image.fromarray(IDS.astype(np.uint16)), IDS),
        (Image.fromarray(palette()[IDS]), np.array([0, 2, 1, 3])[IDS]),  # colors in ascending order of RGB
        (Image.fromarray(palette()[IDS]).convert("RGBA"), np.array([0, 2, 1, 3])[IDS]),
    ],
)
def test_every_kind_of_png(tmp_path, image, wanted):
    image.save(tmp_path / "mask.png")
    got = read_mask(tmp_path / "mask.png")
    assert got.dtype == np.uint8
    assert (got == wanted).all()


def test_what_is_no_mask(tmp_path):
    noise = np.random.default_rng(0).integers(0, 255, (40, 40, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "photo.png")
    Image.fromarray(IDS * 60).save(tmp_path / "blurred.jpg")
    Image.fromarray(np.arange(400, dtype=np.uint16).reshape(20, 20)).save(tmp_path / "deep.png")
    Image.fromarray(np.array([[0, 700]], np.uint16)).save(tmp_path / "high.png")
    (tmp_path / "text.png").write_text("hello")
    reasons = {
        "photo.png": "at most 254",
        "blurred.jpg": "is a JPEG, which blurs ids",
        "deep.png": "399 different ids",
        "high.png": "700",
        "text.png": "cannot be read",
        "none.png": "no such file",
    }
    for name, reason in reasons.items():
        with pytest.raises(InputError, match=reason) as caught:
            read_mask(tmp_path / name)
        assert name in str(caught.value)


def disc(x: int, y: int, radius: int, size: tuple[int, int] = (60, 90)) -> np.ndarray:
    """Returns (H, W) uint8 opacity of a disc with a smoothed edge."""
    large = cv2.circle(np.zeros((4 * size[0], 4 * size[1]), np.uint8), (4 * x, 4 * y), 4 * radius, 255, -1)
    return cv2.resize(large, size[::-1], interpolation=cv2.INTER_AREA)


ONE, OTHER = disc(25, 30, 15), disc(65, 30, 12)
HARD = (ONE > 127).astype(np.uint8)
BOTH = np.where(OTHER > 127, 2, HARD).astype(np.uint8)


def blend(colors: list[tuple[int, int, int]], background: tuple[int, int, int] = (0, 0, 0)) -> np.ndarray:
    """Returns the two discs in colors, with smoothed edges."""
    image = np.full((*ONE.shape, 3), background, float)
    for opacity, color in zip((ONE, OTHER), colors, strict=False):
        image += (np.array(color) - image) * opacity[..., None] / 255
    return image.round().astype(np.uint8)


def with_alpha(rgb: np.ndarray, alpha: np.ndarray) -> Image.Image:
    return Image.fromarray(np.dstack([rgb, alpha]).astype(np.uint8))


def with_palette(indices: np.ndarray, colors: list[int]) -> Image.Image:
    image = Image.fromarray(indices.astype(np.uint8))
    image.putpalette([*colors, *[0] * (768 - len(colors))])
    return image


RING = (cv2.dilate(BOTH, np.ones((5, 5), np.uint8)) > 0) & (BOTH == 0)
NOISE = np.random.default_rng(0).integers(0, 256, (60, 90, 3))
ALPHA = np.maximum(ONE, OTHER)
RED, BLUE, GREEN = (255, 0, 0), (0, 0, 255), (0, 128, 0)
DRAWN = {
    "gray matte": (Image.fromarray(ONE), HARD),
    "dim gray matte": (Image.fromarray((ONE * 0.7).astype(np.uint8)), HARD),
    "16-bit matte": (Image.fromarray(ONE.astype(np.uint16) * 257), HARD),
    "blurred matte": (Image.fromarray(cv2.GaussianBlur(255 * HARD, (0, 0), 2)), HARD),
    "RGB matte": (Image.fromarray(blend([(255, 255, 255)])), HARD),
    "red": (Image.fromarray(blend([RED])), HARD),
    "red on white": (Image.fromarray(blend([RED], (255, 255, 255))), HARD),
    "blue and red": (Image.fromarray(blend([BLUE, RED])), BOTH),
    "green and light green": (Image.fromarray(blend([GREEN, (0, 255, 0)])), BOTH),
    "two grays": (Image.fromarray(blend([(100, 100, 100), (255, 255, 255)])[..., 0]), np.array([0, 100, 255])[BOTH]),
    "palette of colors": (Image.fromarray(blend([BLUE, RED])).quantize(16, dither=Image.Dither.NONE), BOTH),
    "cut-out photograph": (with_alpha(NOISE, ONE), HARD),
    "white cut-out": (with_alpha(255 * np.ones((60, 90, 3)), ONE), HARD),
    "black cut-out": (with_alpha(np.zeros((60, 90, 3)), ONE), HARD),
    "gray cut-out": (with_alpha(255 * np.ones((60, 90, 3)), ONE).convert("LA"), HARD),
    "two colors on a clear layer": (with_alpha(np.array([BLUE, BLUE, RED])[BOTH], ALPHA), BOTH),
    "gray ids and void": (Image.fromarray(np.where(RING, 255, BOTH).astype(np.uint8)), BOTH),
    "palette ids and void": (with_palette(np.where(RING, 255, BOTH), palette().ravel().tolist()), BOTH),
    "unnamed palette ids and void": (with_palette(np.where(RING, 255, BOTH), [0, 0, 0, 9, 0, 0, 0, 9, 0]), BOTH),
}


@pytest.mark.parametrize("name", DRAWN)
def test_masks_of_drawing_programs(tmp_path, name: str):
    image, wanted = DRAWN[name]
    image.save(tmp_path / "mask.png")
    with pytest.warns(UserWarning, match=r"mask\.png: "):
        got = read_mask(tmp_path / "mask.png")
    assert set(np.unique(got)) == set(np.unique(wanted))
    assert np.count_nonzero(got != wanted) <= 0.1 * np.count_nonzero((ALPHA > 0) & (ALPHA < 255))


@pytest.mark.parametrize(
    "image",
    [
        with_palette(BOTH, palette().ravel().tolist()),
        Image.fromarray(BOTH),
        Image.fromarray(np.array([0, 90, 200], np.uint8)[BOTH]),
        Image.fromarray(np.array([(0, 0, 0), BLUE, RED], np.uint8)[BOTH]),
        Image.fromarray(IDS),
    ],
)
def test_plain_ids_are_read_without_a_warning(tmp_path, image):
    image.save(tmp_path / "mask.png")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(np.unique(read_mask(tmp_path / "mask.png"))) == len(np.unique(np.array(image.convert("L"))))


def test_thin_strokes_of_one_color_stay(tmp_path):
    image = np.zeros((60, 90, 3), np.uint8)
    image[:, 40], image[10:30, 50:80] = (0, 255, 0), (255, 0, 0)
    Image.fromarray(image).save(tmp_path / "mask.png")
    assert (read_mask(tmp_path / "mask.png") == (image[..., 1] > 0) + 2 * (image[..., 0] > 0)).all()


@pytest.mark.parametrize("blurred", [False, True])
def test_a_gray_photograph_is_refused(tmp_path, blurred: bool):
    photo = NOISE[..., 0].astype(np.uint8)
    photo = cv2.resize(photo, (400, 400), interpolation=cv2.INTER_CUBIC) if blurred else photo
    Image.fromarray(photo).save(tmp_path / "mask.png")
    with pytest.raises(InputError, match="at most 254"):
        read_mask(tmp_path / "mask.png")


def test_pipes_and_broken_files_are_input_errors(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "broken.png").write_bytes(b"\0\0\0\x18ftypheic" + bytes(40))
    for name in ("pipe.png", "broken.png", "."):
        with pytest.raises(InputError):
            read_mask(tmp_path / name)
