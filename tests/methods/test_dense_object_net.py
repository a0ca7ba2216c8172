import pytest
import torch

from mmcontrast.data import Collate, FindMatches, ToyViews
from mmcontrast.encoders import TinyConv
from mmcontrast.losses.dense import match_loss, pixel_info_nce
from mmcontrast.methods import DenseObjectNet


@pytest.fixture(scope="module")
def batch():
    data = ToyViews()
    find = FindMatches(matches=150, non_matches=12, occlusion=0.006)
    return find(Collate(None)([data[i] for i in range(4)]))


def build(**options):
    torch.manual_seed(0)
    return DenseObjectNet(TinyConv(dim=8), **{"dim": 4} | options)


def rows(batch, *index):
    return {k: v[list(index)] if isinstance(v, torch.Tensor) else v for k, v in batch.items()}


@pytest.mark.parametrize("loss", ["contrastive", "triplet", "info_nce"])
def test_a_batch_is_the_mean_of_its_pairs(batch, loss):
    method = build(loss=loss)
    together = method(batch)["loss"]
    alone = torch.stack([method(rows(batch, i))["loss"] for i in range(4)])
    torch.testing.assert_close(together, alone.mean())


def test_descriptors_are_full_size_and_unit_where_asked(batch):
    image = batch["image_a"][:2, :, :45, :61]
    assert build().describe(image).shape == (2, 4, 45, 61)
    norm = build(unit_norm=True).describe(image).norm(dim=1)
    torch.testing.assert_close(norm, torch.ones_like(norm))
    each = torch.cat([build(unit_norm=True).describe(image[i : i + 1]) for i in range(2)])
    torch.testing.assert_close(each, build(unit_norm=True).describe(image))


def test_a_blind_pair_is_only_pushed_apart(batch):
    # In the public code this loss is computed and then left out of the sum.
    blind = {**batch, "is_match": torch.zeros_like(batch["is_match"]), "anchor": torch.ones_like(batch["anchor"])}
    out = build()(blind)
    assert out["match"] == 0
    assert out["loss"] == out["non_match"] > 0
    out["loss"].backward()


def test_the_loss_is_matches_plus_non_matches(batch):
    method = build()
    out = method(batch)
    torch.testing.assert_close(out["loss"].detach(), out["match"] + out["non_match"])
    same = {**batch, "image_b": batch["image_a"], "match_b": batch["match_a"]}
    assert method(same)["match"] == 0
    assert match_loss(torch.zeros(1, 1, 2), torch.ones(1, 1, 2), torch.ones(1, 1, dtype=torch.bool)) == 2


def test_near_non_matches_weigh_less(batch):
    plain, weighted = build()(batch), build(distance_saturation=50)(batch)
    assert weighted["non_match"] < plain["non_match"]
    assert weighted["active"] == plain["active"]


@pytest.mark.parametrize("loss", ["contrastive", "triplet", "info_nce"])
def test_training_brings_matches_nearest(batch, loss):
    method = build(loss=loss, dim=8)
    optimizer = torch.optim.Adam(method.parameters(), 1e-2)

    def error():
        with torch.no_grad():
            a, b = method.describe(batch["image_a"]), method.describe(batch["image_b"])
        keep = batch["is_match"][0]
        xy_a, xy_b = batch["match_a"][0, keep].round().long(), batch["match_b"][0, keep]
        query = a[0][:, xy_a[:, 1], xy_a[:, 0]].T  # (N, D)
        best = torch.cdist(query, b[0].flatten(1).T).argmin(1)
        return torch.hypot(best % 64 - xy_b[:, 0], best // 64 - xy_b[:, 1]).median()

    before = error()
    for _ in range(80):
        loss_value = method(batch)["loss"]
        optimizer.zero_grad()
        loss_value.backward()
        optimizer.step()
    assert error() < 0.6 * before


def test_a_partly_frozen_encoder_trains_its_last_layers_in_evaluation_mode(batch):
    encoder = TinyConv(dim=8)
    last = max(encoder.layer_ids().values())
    method = DenseObjectNet(encoder, dim=4, trainable_layers=1)
    assert method.training
    assert not any(module.training for module in encoder.modules())
    method(batch)["loss"].backward()
    for name, layer in encoder.layer_ids().items():
        assert (encoder.get_parameter(name).grad is None) == (layer < last), name


def test_training_sees_the_descriptors_that_are_given_out(batch):
    whole = {**batch, "match_a": batch["match_a"].round(), "match_b": batch["match_b"].round()}
    method = build(loss="info_nce")
    a, b = method.describe(batch["image_a"]), method.describe(batch["image_b"])
    width, further = b.shape[3], batch["non_match"][:, :, 0]
    pixels = torch.stack([further % width, further // width], -1)
    at_a, at_b, others = (
        d[torch.arange(4)[:, None], :, xy[..., 1].long(), xy[..., 0].long()]
        for d, xy in ((a, whole["match_a"]), (b, whole["match_b"]), (b, pixels))
    )
    wanted = pixel_info_nce(
        at_a, at_b, whole["match_b"], batch["is_match"], 0.07, method.encoder.stride, (others, pixels)
    )
    torch.testing.assert_close(method(whole)["loss"], wanted.mean())
