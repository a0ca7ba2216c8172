import pytest
import torch
from torch.testing import assert_close

from mmcontrast.encoders import TinyConv, TinyText
from mmcontrast.errors import InputError
from mmcontrast.methods.clip import CLIP
from mmcontrast.models.exporting import export
from mmcontrast.models.loading import load_encoder
from mmcontrast.ops.color import rgb_to_lab


def test_raw_pixels():
    encoder = load_encoder("pixels")
    image = torch.rand(2, 3, 32, 32)
    assert_close(encoder(image), image.flatten(1) - 0.5)
    assert encoder(torch.rand(2, 3, 50, 50)).shape == (2, encoder.dim)
    grid = encoder.grid(torch.rand(1, 3, 30, 41))
    assert grid.shape == (1, 48, 8, 11)
    assert_close(encoder.grid(image)[1, :, 2, 3], image[1, :, 8:12, 12:16].flatten() - 0.5)


def test_lab_patches():
    encoder = load_encoder("lab:4")
    image = torch.rand(1, 3, 30, 41)
    grid = encoder.grid(image)
    assert grid.shape == (1, encoder.dim, 8, 11)
    assert_close(grid.norm(dim=1), torch.full((1, 8, 11), 6.0))
    patch = rgb_to_lab(image[0, :, 8:12, 12:16]) - torch.tensor([50.0, 0, 0]).view(3, 1, 1)
    assert_close(grid[0, :, 2, 3], 6 * patch.flatten() / patch.norm())
    assert load_encoder("lab").stride == 8
    for name in ("lab:0", "lab:x", "pixels:-1"):
        with pytest.raises(InputError, match=name):
            load_encoder(name)


def test_the_random_start_of_a_model_is_always_the_same(tmp_path):
    trained = CLIP(TinyConv(8), TinyText(8), dim=4)
    export(trained, tmp_path / "model", "float32")
    for name in (f"random:{tmp_path / 'model'}", "random:timm:test_vit"):
        first, second = load_encoder(name), load_encoder(name)
        for a, b in zip(first.parameters(), second.parameters(), strict=True):
            assert torch.equal(a, b)
        assert not first.training
    untrained = load_encoder(f"random:{tmp_path / 'model'}")
    assert untrained.net[0].weight.shape == trained.encoder.net[0].weight.shape
    assert not torch.equal(untrained.net[0].weight, trained.encoder.net[0].weight)
    with pytest.raises(InputError, match="random:nothing"):
        load_encoder("random:nothing")
