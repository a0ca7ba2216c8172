import numpy as np
import pytest
import torch
from PIL import Image

from mmcontrast.encoders import TinyConv
from mmcontrast.errors import InputError
from mmcontrast.methods import Colorization, SimCLR, SplitBrain
from mmcontrast.ops.color import lab_to_rgb, rgb_to_lab
from mmcontrast.predict import Colorizer
from mmcontrast.predict.colorize import paint


def gray(channels: int = 1) -> TinyConv:
    return TinyConv(dim=8, in_channels=channels, image_size=32)


@pytest.fixture(scope="module")
def method() -> Colorization:
    torch.manual_seed(0)
    return Colorization(gray(), predict="ab", width=16).eval()


def lightness(image: np.ndarray) -> torch.Tensor:
    return rgb_to_lab(torch.from_numpy(image.copy()).permute(2, 0, 1).float() / 255)[0]


def test_a_photograph_keeps_its_size_and_lightness(method, photographs):
    for file, found in zip(photographs[:2], Colorizer(method)(photographs[:2]), strict=True):
        photo = np.asarray(Image.open(file).convert("RGB"))
        assert found.image.shape == photo.shape
        assert found.image.dtype == np.uint8
    soft = paint(photo, torch.full((2, 3, 4), 8.0))
    assert (lightness(soft) - lightness(photo)).abs().mean() < 0.5  # rounding, and a few colors outside sRGB
    ab = rgb_to_lab(torch.from_numpy(soft).permute(2, 0, 1).float() / 255)[1:]
    assert (ab - 8).abs().median() < 1


def test_its_own_colors_do_not_matter(method):
    image = np.random.default_rng(0).integers(60, 200, (32, 32, 3), dtype=np.uint8)
    lab = rgb_to_lab(torch.from_numpy(image).permute(2, 0, 1).float() / 255)
    lab[1:] = 0
    gray = (255 * lab_to_rgb(lab)).round().byte().permute(1, 2, 0).numpy()
    found, expected = (Colorizer(method)(p)[0].image.astype(int) for p in (gray, image))
    assert np.abs(found - expected).mean() < 0.7  # of the rounding of gray


def test_images_of_many_shapes_in_batches_are_as_each_alone(method):
    draw = np.random.default_rng(1)
    images = [draw.integers(0, 256, (h, w, 3), dtype=np.uint8) for h, w in ((40, 64), (64, 40), (33, 33), (40, 64))]
    alone = [Colorizer(method, batch_size=1)(image)[0].image for image in images]
    for found, expected in zip(Colorizer(method, batch_size=3)(images), alone, strict=True):
        assert np.abs(found.image.astype(int) - expected.astype(int)).max() <= 1


def test_strips_of_a_large_image_meet(method, monkeypatch):
    image = np.random.default_rng(2).integers(0, 256, (50, 30, 3), dtype=np.uint8)
    whole = Colorizer(method)(image)[0].image
    monkeypatch.setattr("mmcontrast.predict.colorize._STRIP_PIXELS", 7 * 30)
    assert np.array_equal(Colorizer(method)(image)[0].image, whole)


def test_temperature_reaches_the_annealed_mean():
    torch.manual_seed(0)
    image = np.random.default_rng(3).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    for made in (Colorization(gray(), width=16), SplitBrain(gray(), gray(2), width=16)):
        vivid, pale = (Colorizer(made, temperature=t)(image)[0].image.astype(int) for t in (0.01, 1.0))
        assert np.ptp(vivid, axis=2).mean() > np.ptp(pale, axis=2).mean() + 20


def test_another_method_is_refused():
    with pytest.raises(InputError, match="a SimCLR predicts no colors"):
        Colorizer(SimCLR(gray(3), dim=4))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperature": 0}, "temperature is 0; give a finite number above 0"),
        ({"temperature": float("nan")}, "temperature is nan"),
        ({"resolution": 0}, "resolution is 0"),
        ({"batch_size": 0}, "batch_size is 0"),
    ],
)
def test_what_cannot_be_used_is_refused(method, options, message):
    with pytest.raises(InputError, match=message):
        Colorizer(method, **options)
