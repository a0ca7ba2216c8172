"""Pixel by pixel what torchvision does for the same parameters, with the parameters' distributions."""

import math

import numpy as np
import pytest
import torch
import torchvision.transforms.v2 as transforms
import torchvision.transforms.v2.functional as reference
from torch import nn

from mmcontrast.data import MultiCrop, OneView, ToFloat, TwoViews
from mmcontrast.data.augment import photometric
from mmcontrast.data.augment.affine_views import AffineViews
from mmcontrast.data.augment.crops import random_boxes, resample
from mmcontrast.data.augment.find_matches import FindMatches
from mmcontrast.data.augment.views import Views
from mmcontrast.errors import InputError
from mmcontrast.ops.random import uniform

B = 10
GENERATOR = torch.Generator().manual_seed(0)
IMAGE = torch.rand(B, 3, 40, 52, generator=GENERATOR)
ACTIVE = torch.tensor([True, True, False, True, True, True, False, True, True, True])
KEYS = torch.arange(10_000)


def batch(count: int = B, size: int = 32) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    image = torch.randint(0, 256, (count, 3, size, size), generator=generator).to(torch.uint8)
    return {"image": image, "sample_key": torch.arange(count) * 7919, "label": torch.arange(count)}


def test_resample_is_torchvisions_antialiased_crop():
    boxes = torch.tensor([[0, 0, 40, 52], [3, 5, 9, 7], [10, 20, 30, 31], [39, 51, 1, 1], [1, 0, 2, 50]]).float()
    flip = torch.tensor([False, True, True, False, True])
    for size in (8, 24, 64):
        ours = resample(IMAGE[:5], boxes, flip, size)
        for i, box in enumerate(boxes.int().tolist()):
            theirs = reference.resized_crop(IMAGE[i], *box, [size, size], antialias=True)
            torch.testing.assert_close(ours[i], theirs.flip(-1) if flip[i] else theirs, atol=1e-5, rtol=0)


def test_jitter_is_torchvisions_in_each_samples_order():
    order = torch.stack([torch.randperm(4, generator=GENERATOR) for _ in range(B)])
    factors = torch.rand(B, 4, generator=GENERATOR) * torch.tensor([1.8, 1.8, 1.8, 1]) - torch.tensor([0, 0, 0, 0.5])
    ours = photometric.jitter(IMAGE.clone(), order, factors, ACTIVE)
    functions = [
        reference.adjust_brightness,
        reference.adjust_contrast,
        reference.adjust_saturation,
        reference.adjust_hue,
    ]
    for i in range(B):
        theirs = IMAGE[i]
        for operation in order[i].tolist() if ACTIVE[i] else []:
            theirs = functions[operation](theirs, factors[i, operation].item())
        torch.testing.assert_close(ours[i], theirs, atol=2e-5, rtol=0)


def test_hue_of_grays_and_pure_colors():
    pixels = torch.tensor(
        [[1, 0, 0], [1, 1, 0], [0, 1, 0], [0, 1, 1], [0, 0, 1], [1, 0, 1], [0.4] * 3, [0] * 3, [1] * 3]
    )
    image = pixels[:, :, None, None]
    third = photometric.shift_hue(image, torch.full((9,), 1 / 3))[:, :, 0, 0]
    torch.testing.assert_close(third, pixels[[2, 3, 4, 5, 0, 1, 6, 7, 8]], atol=1e-5, rtol=0)


def test_blur_gray_and_solarize_are_torchvisions():
    sigma = torch.rand(B, generator=GENERATOR) * 1.9 + 0.1
    blurred = photometric.blur(IMAGE.clone(), sigma, ACTIVE, 5)
    gray = photometric.gray(IMAGE.clone(), ACTIVE)
    solarized = photometric.solarize(IMAGE.clone(), ACTIVE)
    for i in range(B):
        x = IMAGE[i]
        wanted = [reference.gaussian_blur(x, [5, 5], [sigma[i].item()] * 2), reference.rgb_to_grayscale(x, 3)]
        wanted = [*wanted, reference.solarize(x, 0.5)] if ACTIVE[i] else [x, x, x]
        for ours, theirs in zip((blurred[i], gray[i], solarized[i]), wanted, strict=True):
            torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)


def test_accelerators_give_what_a_cpu_gives(monkeypatch: pytest.MonkeyPatch):
    """Off the CPU everything is computed and selected from; here the same code runs on the CPU."""
    dense = lambda active, image, function, *arguments: torch.where(
        active[:, None, None, None], function(image, *arguments), image
    )
    augment = TwoViews(24, blur=(0.5, 1.0), solarize=(0.2, 0.5))
    wanted = augment(batch())["views"]
    monkeypatch.setattr(photometric, "_where", dense)
    blur = lambda image, weight, active: dense(active, image, photometric._products, weight)
    monkeypatch.setattr(photometric, "_filter", blur)
    for ours, theirs in zip(augment(batch())["views"], wanted, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=0)


@pytest.mark.parametrize(("scale", "height", "width"), [((0.08, 1.0), 48, 64), ((0.9, 1.0), 32, 32)])
def test_boxes_are_distributed_as_torchvisions(scale: tuple[float, float], height: int, width: int):
    boxes = random_boxes(uniform(KEYS, 22), height, width, scale, (3 / 4, 4 / 3))
    top, left, h, w = boxes.unbind(1)
    assert (top >= 0).all()
    assert (left >= 0).all()
    assert (top + h <= height).all()
    assert (left + w <= width).all()
    torch.manual_seed(0)
    crop, image = transforms.RandomResizedCrop(8, scale), torch.empty(3, height, width)
    theirs = [crop.make_params([image]) for _ in range(10_000)]
    theirs = torch.tensor([[p["top"], p["left"], p["height"], p["width"]] for p in theirs]).float()
    area, shape = theirs[:, 2] * theirs[:, 3], theirs[:, 3] / theirs[:, 2]
    for a, b in ((h * w, area), (w / h, shape), (top, theirs[:, 0]), (left, theirs[:, 1])):
        assert (a.mean() - b.mean()).abs() < 4 * ((a.var() + b.var()) / 10_000).sqrt()
        assert 0.93 < a.std() / b.std() < 1.07


def test_a_long_image_falls_back_to_its_center():
    boxes = random_boxes(uniform(KEYS[:100], 22), 10, 100, (0.9, 1.0), (3 / 4, 4 / 3))
    assert boxes.unique(dim=0).tolist() == [[0, 43, 10, 13]]


def test_drawn_parameters_have_torchvisions_means_over_ten_thousand_draws():
    views = Views(2, jitter=(0.8, 0.4, 1.5, 0.2))
    numbers = uniform(KEYS, 4, stream=3)
    factors = views._factors(numbers)
    theirs = transforms.ColorJitter(0.8, 0.4, 1.5, 0.2)
    for column, bounds in enumerate((theirs.brightness, theirs.contrast, theirs.saturation, theirs.hue)):
        low, high = bounds
        drawn = factors[:, column]
        assert drawn.min() >= low
        assert drawn.max() <= high
        assert abs(drawn.mean() - (low + high) / 2) < 4 * (high - low) / math.sqrt(12 * 10_000)
        assert abs(drawn.std() - (high - low) / math.sqrt(12)) < 0.02 * (high - low)


def test_images_change_as_torchvisions_do_over_ten_thousand_draws():
    """Mean and spread of brightness, color and sharpness of the views of one image."""
    generator = torch.Generator().manual_seed(3)
    image = (torch.rand(3, 8, 8, generator=generator) * torch.tensor([200, 120, 60])[:, None, None]).to(torch.uint8)
    augment = Views(8, flip=0.5, jitter=(0.8, 0.8, 0.8, 0.2), gray=0.2, blur=(0.5,), blur_kernel=3)
    (ours,) = augment(image.expand(10_000, -1, -1, -1), KEYS)
    torch.manual_seed(0)
    jitter = transforms.RandomApply([transforms.ColorJitter(0.8, 0.8, 0.8, 0.2)], 0.8)
    blur = transforms.RandomApply([transforms.GaussianBlur(3, (0.1, 2.0))], 0.5)
    flip = transforms.RandomHorizontalFlip()
    chain = transforms.Compose([transforms.RandomResizedCrop(8), flip, jitter, transforms.RandomGrayscale(0.2), blur])
    theirs = torch.stack([chain(image / 255) for _ in range(2_000)])
    statistics = {
        "red": lambda x: x[:, 0].mean((1, 2)),
        "blue": lambda x: x[:, 2].mean((1, 2)),
        "chroma": lambda x: (x.amax(1) - x.amin(1)).mean((1, 2)),
        "detail": lambda x: x.diff(dim=3).abs().mean((1, 2, 3)),
        "left minus right": lambda x: (x[..., :4] - x[..., 4:]).mean((1, 2, 3)),
    }
    for name, statistic in statistics.items():
        a, b = statistic(ours), statistic(theirs)
        error = (a.var() / len(a) + b.var() / len(b)).sqrt()
        assert (a.mean() - b.mean()).abs() < 4 * error, name
        assert 0.9 < a.std() / b.std() < 1.1, name


@pytest.mark.parametrize("augment", [OneView(24, (0.5, 1.0), 0.5, (0.4, 0.4, 0.4, 0.1), 0.8, 0.2, 0.5), TwoViews(24)])
def test_a_sample_is_augmented_alike_in_any_batch(augment: torch.nn.Module):
    whole, part = augment(batch()), batch()
    order = torch.tensor([7, 2, 9])
    part = augment({name: value[order] for name, value in part.items()})
    views = [out["views"] if "views" in out else [out["image"]] for out in (whole, part)]
    for ours, theirs in zip(*views, strict=True):
        torch.testing.assert_close(ours[order], theirs, atol=1e-6, rtol=0)
        assert not torch.equal(ours[0], ours[1])


def test_two_views_differ_and_epochs_differ():
    first, second = TwoViews(24)(batch())["views"]
    assert (first - second).abs().mean() > 0.02
    later = TwoViews(24)({**batch(), "sample_key": batch()["sample_key"] + 1})["views"][0]
    assert (first - later).abs().mean() > 0.02


def test_what_comes_out():
    out = TwoViews()(batch())
    assert set(out) == {"views", "sample_key", "label"}
    views = MultiCrop(32, 16, 3)(batch(size=40))["views"]
    assert [tuple(view.shape) for view in views] == [(B, 3, 32, 32)] * 2 + [(B, 3, 16, 16)] * 3
    for view in [*out["views"], *views]:
        assert view.dtype == torch.float32
        assert view.min() >= 0
        assert view.max() <= 1


def test_to_float_and_identity():
    given = batch()
    image = ToFloat()(given)["image"]
    torch.testing.assert_close(image * 255, given["image"].float())
    assert ToFloat(16)(given)["image"].shape == (B, 3, 16, 16)
    whole = OneView(scale=(1.0, 1.0))
    whole.views.ratio = (1.0, 1.0)
    torch.testing.assert_close(whole(given)["image"], image, atol=1e-6, rtol=0)


def test_low_resolution_loses_detail_and_keeps_the_mean():
    small = photometric.low_resolution(IMAGE.clone(), ACTIVE, 8)
    assert torch.equal(small[~ACTIVE], IMAGE[~ACTIVE])
    assert small[ACTIVE].diff(dim=3).abs().mean() < 0.3 * IMAGE[ACTIVE].diff(dim=3).abs().mean()
    torch.testing.assert_close(small.mean((2, 3)), IMAGE.mean((2, 3)), atol=0.01, rtol=0)


@pytest.mark.parametrize(
    "options",
    [
        {"scale": (0.0, 1.0)},
        {"scale": (0.5, 1.5)},
        {"flip": 2},
        {"jitter": (1, 1, 1, 0.6)},
        {"jitter": (1,)},
        {"blur": ()},
        {"blur": (1, 1), "solarize": (0,)},
    ],
)
def test_impossible_options_are_refused(options: dict[str, object]):
    with pytest.raises(InputError, match="wanted"):
        Views(8, **options)


def test_finite_on_constant_images():
    for level in (0, 255):
        out = TwoViews(16)(
            {"image": torch.full((4, 3, 16, 16), level, dtype=torch.uint8), "sample_key": torch.arange(4)}
        )
        assert all(np.isfinite(view.numpy()).all() for view in out["views"])


@pytest.mark.parametrize("augmentation", [ToFloat(), OneView(), TwoViews(), MultiCrop(), FindMatches(), AffineViews()])
def test_a_batch_without_images_is_refused_in_one_sentence(augmentation: nn.Module):
    name = type(augmentation).__name__
    with pytest.raises(InputError, match=f"{name} needs image.* in a batch, and this batch has clip, sample_key"):
        augmentation({"clip": torch.zeros(1), "sample_key": KEYS[:1]})
