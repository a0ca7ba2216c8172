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
