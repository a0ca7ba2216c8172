import pytest
import torch
from PIL import Image
from torch import nn

import mmcontrast.inference.extract as features
from mmcontrast.data.datasets.images import Images
from mmcontrast.inference.extract import evaluating, extract
from tests.color_clip import color_clip


@pytest.fixture
def folder(tmp_path):
    for i in range(10):
        Image.new("RGB", (10, 10), (25 * i, 255 - 25 * i, 0)).save(tmp_path / f"{i}.png")
    return tmp_path


def images(folder):
    return Images(folder, size=8)


def test_features_in_order_from_any_batch_size(folder):
    clip = color_clip()
    red = torch.arange(10) * 25 / 255
    for batch_size in (1, 3, 64):
        found = extract(clip, clip.encoder, images(folder), batch_size, cache=False)
        torch.testing.assert_close(found.vectors[:, 0], red)
        assert found.indices.tolist() == list(range(10))
        assert not found.unreadable


def test_features_are_kept_and_a_broken_run_goes_on(folder, tmp_path_factory, monkeypatch):
    monkeypatch.setattr(features, "SHARD_SIZE", 4)
    cache = tmp_path_factory.mktemp("features")
    clip = color_clip()
    first = extract(clip, clip.encoder, images(folder), 2, cache)
    assert clip.encoder.images_seen == 10
    shards = sorted(cache.rglob("*.npy"))
    assert len(shards) == 3
    again = extract(clip, clip.encoder, images(folder), 2, cache)
    assert clip.encoder.images_seen == 10
    torch.testing.assert_close(again.vectors, first.vectors)
    shards[1].unlink()
    torch.testing.assert_close(extract(clip, clip.encoder, images(folder), 2, cache).vectors, first.vectors)
    assert clip.encoder.images_seen == 14


def test_other_weights_data_or_size_are_other_features(folder, tmp_path_factory):
    cache = tmp_path_factory.mktemp("features")
    clip = color_clip()
    extract(clip, clip.encoder, images(folder), cache=cache)
    with torch.no_grad():
        clip.encoder.one.mul_(0.5)
    halved = extract(clip, clip.encoder, images(folder), cache=cache)
    assert halved.vectors[9, 0].item() == pytest.approx(0.5 * 225 / 255)
    extract(clip, clip.encoder, Images(folder, size=4), cache=cache)
    extract(clip, clip.embed_image, images(folder), cache=cache)
    Image.new("RGB", (10, 10), (0, 0, 255)).save(folder / "3.png")
    changed = extract(clip, clip.encoder, images(folder), cache=cache)
    assert changed.vectors[3].tolist() == pytest.approx([0, 0, 0.5])
    assert clip.encoder.images_seen == 50


def test_unreadable_images_are_left_out_and_named(folder, tmp_path_factory):
    (folder / "4.png").write_bytes(b"broken")
    cache = tmp_path_factory.mktemp("features")
    clip = color_clip()
    for _ in range(2):
        found = extract(clip, clip.encoder, images(folder), 3, cache)
        assert found.indices.tolist() == [0, 1, 2, 3, 5, 6, 7, 8, 9]
        assert found.vectors.shape == (9, 3)
        assert torch.isfinite(found.vectors).all()
        assert len(found.unreadable) == 1
        assert "4" in found.unreadable[0]


def test_every_part_returns_to_the_mode_it_was_in():
    model = nn.Sequential(nn.Dropout(), nn.BatchNorm1d(2))
    model.train()
    model[1].eval()
    with evaluating(model):
        assert not any(part.training for part in model.modules())
        assert not torch.is_grad_enabled()
    assert [part.training for part in model.modules()] == [True, True, False]
    with pytest.raises(KeyError), evaluating(model):
        raise KeyError
    assert model[0].training
