"""Methods that paint: holes, and colors."""

import pytest
import torch
import torch.nn.functional as F

from mmcontrast.encoders import TimmEncoder, TinyConv
from mmcontrast.encoders.decoder import ChannelwiseLinear, upsampler
from mmcontrast.errors import InputError
from mmcontrast.methods import Colorization, Inpainting, SplitBrain
from mmcontrast.models.exporting import export
from mmcontrast.models.loading import load_encoder
from mmcontrast.ops.color import rgb_to_lab
from mmcontrast.ops.color_bins import rebalance
from mmcontrast.ops.holes import border


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


@pytest.fixture
def batch() -> dict:
    return {"image": torch.rand(4, 3, 16, 16), "sample_key": torch.arange(4)}


def tiny(channels: int = 3, dim: int = 8) -> TinyConv:
    return TinyConv(dim=dim, in_channels=channels, image_size=16)


def inpainting(**options) -> Inpainting:
    return Inpainting(tiny(), **{"overlap": 1, "width": 16, "discriminator_width": 8, **options})


def test_inpainting_is_equations_1_to_3(batch):
    method, image = inpainting(adversarial=0.2), batch["image"]
    hole = method._holes(image, batch["sample_key"])
    painted = method._paint(image, hole)
    composite = torch.where(hole, painted, image)  # what is outside of the hole is the image's own
    ring = border(hole, 1)
    errors = []
    for photo, truth, inside, around in zip(painted, image, hole, ring, strict=True):
        weight = inside.float() + 10 * around.float()
        errors.append(((photo - truth).square().mean(0) * weight[0]).sum() / weight.sum())
    reconstruction = torch.stack(errors).mean()
    d = method.discriminator
    adversarial = -torch.log(torch.sigmoid(d(composite))).mean()
    out = method(batch)
    torch.testing.assert_close(out["loss"], 0.8 * reconstruction + 0.2 * adversarial)
    told_apart = -torch.log(torch.sigmoid(d(image))).mean() - torch.log(1 - torch.sigmoid(d(composite))).mean()
    torch.testing.assert_close(out["discriminator"], told_apart.detach())


def test_one_optimizer_does_what_two_in_one_step_would(batch):
    one, two = inpainting(adversarial=0.2), inpainting(adversarial=0.2)
    two.load_state_dict(one.state_dict())
    joint = torch.optim.AdamW([
        {"params": [p for n, p in one.named_parameters() if not n.startswith("discriminator")], "lr": 1e-2},
        {"params": one.discriminator.parameters(), "lr": 1e-3},
    ])  # fmt: skip
    painter = torch.optim.AdamW([p for n, p in two.named_parameters() if not n.startswith("discriminator")], lr=1e-2)
    judge = torch.optim.AdamW(two.discriminator.parameters(), lr=1e-3)
    for _ in range(5):
        joint.zero_grad()
        one(batch)["loss"].backward()
        joint.step()

        image = batch["image"]
        hole = two._holes(image, batch["sample_key"])
        painted = two._paint(image, hole)
        rec = ((painted - image).square().mean(1, keepdim=True) * (w := hole + 10.0 * border(hole, 1))).sum((1, 2, 3))
        composite = torch.where(hole, painted, image)
        loss = 0.8 * (rec / w.sum((1, 2, 3))).mean() + 0.2 * F.softplus(-two.discriminator(composite)).mean()
        real, fake = two.discriminator(image), two.discriminator(composite.detach())
        told_apart = F.softplus(-real).mean() + F.softplus(fake).mean()
        painter.zero_grad()
        loss.backward()
        judge.zero_grad()
        told_apart.backward()
        painter.step()
        judge.step()
    for name, value in two.state_dict().items():
        torch.testing.assert_close(one.state_dict()[name], value, rtol=1e-4, atol=1e-6, msg=name)


def test_nothing_of_the_hole_reaches_the_painter(batch):
    for kind in ("random", "center"):
        method, image = inpainting(hole=kind), batch["image"]
        hole = method._holes(image, batch["sample_key"])
        noise = torch.where(hole, torch.rand_like(image), image)
        torch.testing.assert_close(method._paint(noise, hole), method._paint(image, hole))
        panels = method.images(image, batch["sample_key"])
        outside = (~hole).expand_as(image)
        torch.testing.assert_close(panels["painted"][outside], image[outside])
        assert (panels["seen"][hole.expand_as(image)] == 0.5).all()
        assert not torch.equal(panels["painted"], image)


def test_inpainting_refuses_other_sizes_and_impossible_settings():
    with pytest.raises(InputError, match="paints those of 16 x 16"):
        inpainting()({"image": torch.rand(2, 3, 20, 16), "sample_key": torch.arange(2)})
    with pytest.raises(InputError, match="fraction 1"):
        inpainting(fraction=1.0)
    assert not hasattr(inpainting(adversarial=0), "discriminator")


def test_every_cell_reaches_every_other_within_its_channel():
    layer = ChannelwiseLinear(3, 6)
    grid = torch.rand(1, 3, 2, 3, requires_grad=True)
    layer(grid)[0, 1, 0, 0].backward()
    assert (grid.grad[0, 1] != 0).all()
    assert (grid.grad[0, [0, 2]] == 0).all()


@pytest.mark.parametrize(("factor", "side"), [(0.5, 3), (1, 3), (2, 6), (14, 48)])
def test_the_decoder_doubles_until_it_is_there(factor, side):
    assert upsampler(5, 7, factor, width=16)(torch.rand(2, 5, 3, 3)).shape == (2, 7, side, side)


def test_colorization_sees_lightness_only(batch):
    method = Colorization(tiny(1), width=16).eval()
    image = batch["image"]
    lab = rgb_to_lab(image)
    gray = method.images(image, batch["sample_key"])["gray"]
    torch.testing.assert_close(rgb_to_lab(gray)[:, :1], lab[:, :1], atol=0.02, rtol=0)
    assert rgb_to_lab(gray)[:, 1:].abs().max() < 0.1
    torch.testing.assert_close(method.colors(gray), method.colors(image), atol=1e-2, rtol=1e-3)
    torch.testing.assert_close(method.encoder(gray), method.encoder(image), atol=1e-4, rtol=1e-3)


def test_colorization_is_the_rebalanced_cross_entropy_of_soft_targets(batch):
    method = Colorization(tiny(1), width=16).eval()
    method.prior.uniform_().div_(method.prior.sum())
    lab = rgb_to_lab(batch["image"])
    logits = method.decoder(method.encoder.grid(batch["image"]))
    index, weight = method.bins.encode(F.adaptive_avg_pool2d(lab[:, 1:], 4))
    z = torch.zeros_like(logits).scatter_add_(1, index, weight)  # (B, Q, 4, 4)
    weight = rebalance(method.prior, 0.5)[z.argmax(1)]  # eq. 3
    expected = -(weight * (z * F.log_softmax(logits, 1)).sum(1)).mean()  # eq. 2
    torch.testing.assert_close(method(batch)["loss"], expected)


def test_the_prior_follows_the_colors_in_training_only(batch):
    method = Colorization(tiny(1), width=16, prior_momentum=0.75)
    before = method.prior.clone()
    method.eval()(batch)
    assert torch.equal(method.prior, before)
    method.train()(batch)
    index, weight = method.bins.encode(F.adaptive_avg_pool2d(rgb_to_lab(batch["image"])[:, 1:], 4))
    torch.testing.assert_close(method.prior, 0.75 * before + 0.25 * method.bins.frequencies(index, weight))
    assert float(method.prior.sum()) == pytest.approx(1)


def test_regression_is_half_the_squared_distance(batch):
    method = Colorization(tiny(), predict="ab", width=16)
    out = method.decoder(method.encoder.grid(batch["image"]))
    ab = F.adaptive_avg_pool2d(rgb_to_lab(batch["image"])[:, 1:], 4)
    result = method(batch)
    torch.testing.assert_close(result["loss"], 0.5 * (out - ab / 110).square().sum(1).mean())
    torch.testing.assert_close(result["error"], (110 * out - ab).norm(dim=1).mean().detach())
    torch.testing.assert_close(method.colors(batch["image"]), 110 * out.detach())


def test_split_brain_joins_two_halves_that_see_different_things(batch):
    method = SplitBrain(tiny(1, 6), tiny(2, 10), width=16).eval()
    image = batch["image"]
    lightness, color = (
        SplitBrain(tiny(1, 6), tiny(2, 10), width=16, features=f).eval() for f in ("lightness", "color")
    )
    for half in (lightness, color):
        half.load_state_dict(method.state_dict())
    both = method.encoder(image)
    torch.testing.assert_close(both, torch.cat([lightness.encoder(image), color.encoder(image)], 1))
    assert both.shape == (4, 16)
    assert method.encoder.grid(image).shape == (4, 16, 4, 4)
    assert [block.shape[1] for block in method.encoder.blocks(image)] == [16, 16]
    gray = image.mean(1, keepdim=True).expand_as(image)
    flat = color.encoder(gray)
    torch.testing.assert_close(flat, flat[:1].expand_as(flat), atol=1e-3, rtol=1e-3)  # no color, nothing to tell


def test_each_half_can_be_loaded_by_name(batch, tmp_path):
    method = SplitBrain(tiny(1, 6), tiny(2, 10), width=16).eval()
    model = export(method, tmp_path / "model", dtype="float32")
    for name, expected in ((f"lightness:{model}", method.halves.first), (f"color:{model}", method.halves.second)):
        torch.testing.assert_close(load_encoder(name)(batch["image"]), expected(batch["image"]))
    assert load_encoder(model).dim == 16
    with pytest.raises(InputError, match="features"):
        load_encoder(f"color:{export(Colorization(tiny(1), width=16), tmp_path / 'other')}")


def test_split_brain_adds_both_predictions(batch):
    method = SplitBrain(tiny(1), tiny(2), width=16, lightness_bins=10)
    lab = F.adaptive_avg_pool2d(rgb_to_lab(batch["image"]), 4)
    ab = method.to_color(method.halves.first.grid(batch["image"]))
    lightness = method.to_lightness(method.halves.second.grid(batch["image"]))
    nearest = torch.cdist(lab[:, 1:].permute(0, 2, 3, 1).flatten(0, 2), method.bins.centers).argmin(1).view(4, 4, 4)
    level = (lab[:, 0] / 10).floor().long()
    expected = F.cross_entropy(ab, nearest) + F.cross_entropy(lightness, level)
    torch.testing.assert_close(method(batch)["loss"], expected)
    values = SplitBrain(tiny(1), tiny(2), predict="values", width=16)
    assert values(batch)["loss"].isfinite()
    for model in (method, values):
        assert {v.shape for v in model.images(batch["image"], batch["sample_key"]).values()} == {(4, 3, 16, 16)}
        assert model.colors(batch["image"]).shape == (4, 2, 4, 4)


def test_encoders_of_the_wrong_number_of_channels_are_refused():
    with pytest.raises(InputError, match="of the color has 3 channels; wanted 2"):
        SplitBrain(tiny(1), tiny(3))
    with pytest.raises(InputError, match="of the lightness has 2 channels; wanted 1 or 3"):
        Colorization(tiny(2))
    with pytest.raises(InputError, match="strides 4 and 32"):
        SplitBrain(tiny(1), TimmEncoder("resnet10t", in_channels=2))
    with pytest.raises(InputError, match="uniform 0"):
        Colorization(tiny(1), uniform=0.0)
    with pytest.raises(InputError, match="features is 'half'"):
        SplitBrain(tiny(1), tiny(2), features="half")


@pytest.mark.parametrize("bf16", [False, True])
def test_colors_stay_exact_under_autocast(batch, bf16):
    method = Colorization(tiny(1), width=16).eval()
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        lab = rgb_to_lab(batch["image"])
        index, _ = method.bins.encode(lab[:, 1:])
        assert method(batch)["loss"].dtype == torch.float32
    assert torch.equal(lab, rgb_to_lab(batch["image"]))
    assert torch.equal(index, method.bins.encode(lab[:, 1:])[0])
