import pytest
import torch
import torch.nn.functional as F

from mmcontrast.encoders import TinyConv
from mmcontrast.errors import InputError
from mmcontrast.methods import MAST, ContrastiveRandomWalk, CorrFlow, VideoColor, contrastive_random_walk
from mmcontrast.methods.frame_encoder import FrameEncoder
from mmcontrast.ops.color import rgb_to_lab


def clips(count: int = 3, frames: int = 3, size: int = 32) -> dict[str, torch.Tensor]:
    """Colored noise that moves a cell a frame."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(count, 3, size // 4, size // 4, generator=generator)
    first = F.interpolate(coarse, scale_factor=4)
    clip = torch.stack([first.roll(4 * t, -1) for t in range(frames)], 1)
    return {"clip": clip, "sample_key": torch.arange(count)}


def method(kind=VideoColor, **arguments):
    torch.manual_seed(0)
    return kind(TinyConv(dim=16), **{"dim": 8, **arguments})


def test_bins_by_the_formula():
    centers = [[0.0, 0.0], [40.0, 20.0], [-30.0, 10.0]]
    model, batch = method(centers=centers, temperature=0.7), clips()
    clip = batch["clip"]
    luma = (clip * torch.tensor([0.299, 0.587, 0.114]).view(3, 1, 1)).sum(2, keepdim=True).expand(-1, -1, 3, -1, -1)
    total, count = 0.0, 0
    for b in range(3):
        features = model.encoder.head(model.encoder.trunk.grid(luma[b])).flatten(2).mT  # (T, N, D)
        ab = F.avg_pool2d(rgb_to_lab(clip[b])[:, 1:], 4).flatten(2).mT  # (T, N, 2)
        bins = torch.cdist(ab, torch.tensor(centers)).argmin(-1)  # (T, N)
        for j in range(64):
            weights = (features[:2].flatten(0, 1) @ features[2, j] / 0.7).softmax(0)
            total -= weights[bins[:2].flatten() == bins[2, j]].sum().clamp_min(1e-6).log()
            count += 1
    torch.testing.assert_close(model(batch)["loss"], total / count, rtol=1e-4, atol=1e-5)


def test_what_is_hidden_cannot_be_seen():
    batch = clips()
    gray = method().encoder
    assert torch.allclose(gray.grid(batch["clip"][0]), gray.grid(_luma(batch["clip"][0])), atol=1e-5)
    seen, weight = method(MAST).hide(rgb_to_lab(batch["clip"]), batch["sample_key"])
    hidden = weight[:, :, 0, 0].argmax(1)
    assert set(hidden.tolist()) == {0, 1}
    assert (weight.sum(1) == 2).all()
    dull = torch.stack([rgb_to_lab(seen)[b, :, 1 + h].abs().mean() for b, h in enumerate(hidden)])
    bright = torch.stack([rgb_to_lab(seen)[b, :, 2 - h].abs().mean() for b, h in enumerate(hidden)])
    assert (dull < bright).all()
    rgb = method(CorrFlow).hide(batch["clip"], batch["sample_key"])
    assert ((rgb == 0).flatten(3).all(-1).sum(2) == 1).all()


def _luma(image):
    return (image * torch.tensor([0.299, 0.587, 0.114]).view(3, 1, 1)).sum(1, keepdim=True).expand(-1, 3, -1, -1)


def test_a_window_excludes_far_colors():
    batch = clips()
    everywhere, near = method()(batch), method(radius=1)(batch)
    assert near["loss"] != everywhere["loss"]
    assert torch.equal(method(radius=50)(batch)["loss"], everywhere["loss"]) or torch.allclose(
        method(radius=50)(batch)["loss"], everywhere["loss"], rtol=1e-5
    )


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"kind": MAST, "radius": 2},
        {"kind": CorrFlow, "radius": None, "l2_normalize": True, "temperature": 0.1, "walk_weight": 0.5},
    ],
)
def test_training_learns_to_point_to_the_right_place(arguments):
    model, batch = method(**arguments), clips()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    first = model(batch)["loss"].item()
    for _ in range(40):
        loss = model(batch)["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.75 * first


def test_a_frozen_trunk():
    trunk = TinyConv(dim=16)
    frozen = FrameEncoder(trunk, 16, trainable_layers=0)
    assert not frozen.trunk.training  # from the start: Lightning leaves the modes as it finds them
    image = torch.rand(1, 3, 16, 16)
    assert torch.equal(frozen.grid(image), trunk.grid(image))  # the square head starts as the identity
    assert [name for name, p in frozen.named_parameters() if p.requires_grad] == ["head.weight"]
    assert not frozen.train().trunk.training
    with pytest.raises(InputError, match="nothing to train"):
        VideoColor(trunk, dim=None, trainable_layers=0)
    with pytest.raises(InputError, match="temperature"):
        VideoColor(trunk, temperature=0)
    with pytest.raises(InputError, match="edge_dropout"):
        ContrastiveRandomWalk(trunk, edge_dropout=1.0)


def test_edges_are_dropped_apart_there_and_back(monkeypatch):
    walks = []
    monkeypatch.setattr(
        contrastive_random_walk, "contrastive_random_walk", lambda *arguments: walks.append(arguments) or (0, 0)
    )
    ContrastiveRandomWalk(TinyConv(dim=8), dim=4, patch=None, edge_dropout=0.3)(clips())
    there, back = walks[0][2]
    assert there.shape == back.shape == (3, 2, 16, 16)
    assert 0.6 < there.float().mean() < 0.8
    assert 0.4 < (there == back.mT).float().mean() < 0.7  # 0.58 if drawn apart, 1 if drawn together


def test_patches_of_the_walk_are_encoded_alone():
    torch.manual_seed(0)
    walk = ContrastiveRandomWalk(TinyConv(dim=8), dim=4, patch=16)
    frames = clips()["clip"][0]
    nodes = walk._nodes(frames)  # (T, N, D)
    assert nodes.shape == (3, 9, 4)
    assert torch.allclose(nodes[1, 5], walk.encoder(frames[1:2, :, 8:24, 16:32])[0], atol=1e-6)
    assert ContrastiveRandomWalk(TinyConv(dim=8), dim=4, patch=None)._nodes(frames).shape == (3, 16, 4)
