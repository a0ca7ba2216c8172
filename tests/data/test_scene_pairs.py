import json

import numpy as np
import pytest
import torch
from torch.utils.data import default_collate

from mmcontrast.data.augment.find_matches import FindMatches
from mmcontrast.data.datasets.mixture import Mixture
from mmcontrast.data.datasets.scene_pairs import ScenePairs, draw_views
from mmcontrast.data.datasets.toy_scene import write_toy_scene
from mmcontrast.data.datasets.view_pair import OBJECTS
from mmcontrast.data.sampler import SampleKey
from mmcontrast.errors import InputError
from mmcontrast.ops.geometry import sample


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    root = tmp_path_factory.mktemp("scenes")
    return [str(write_toy_scene(root / f"s{seed}", seed=seed, frames=5)) for seed in range(3)]


def find(data, count=4, **options):
    raw = default_collate([data[SampleKey(i, epoch=1)] for i in range(count)])
    return FindMatches(**{"matches": 300, "attempts": 3000, "non_matches": 8, "occlusion": 0.006} | options)(raw)


def color_error(out):
    a, b = (sample(out[f"image_{s}"], out[f"match_{s}"]) for s in "ab")
    return (a - b).abs().mean(-1)[out["is_match"]].mean().item() * 255


def test_within_a_scene_matches_show_the_same_color(scenes):
    out = find(ScenePairs(scenes))
    assert (out["is_match"].sum(1) > 100).all()
    assert color_error(out) < 4


def test_pairs_overlap_as_asked(scenes):
    data = ScenePairs(scenes[:1], overlap=(0.9, 1.0))
    scene = data.scenes[0]
    assert 0 < scene.overlap(0, 4)[0] < 0.9, "the test needs some pairs that are out"
    rng = np.random.default_rng(0)
    shares = [scene.overlap(a, b)[0] for a, b in (draw_views(scene, rng, (0.9, 1.0)) for _ in range(20))]
    assert min(shares) >= 0.9


def test_a_pair_is_a_function_of_its_key(scenes):
    data = ScenePairs(scenes)
    one, again, other = data[SampleKey(1, 2, 3)], data[SampleKey(1, 2, 3)], data[SampleKey(1, 3, 3)]
    assert all(
        torch.equal(torch.as_tensor(one[k]), torch.as_tensor(again[k])) for k in ("image_a", "image_b", "sample_key")
    )
    assert one["sample_key"] != other["sample_key"]


def test_different_objects_are_blind_pairs(scenes):
    out = find(ScenePairs(scenes, kind="different"))
    assert not out["is_match"].any()
    assert out["anchor"].all()
    on_object = (out["mask_b"] > 0).flatten(1).gather(1, out["non_match"].flatten(1))
    assert on_object.all()


def test_the_same_object_across_scenes_matches_by_its_pose(tmp_path):
    # One world written twice under other camera poses: object poses must undo that.
    one = write_toy_scene(tmp_path / "one", seed=4, frames=3)
    two = write_toy_scene(tmp_path / "two", seed=4, frames=3)
    moved = np.eye(4)
    moved[:3, 3] = [1, 2, 3]
    for i in range(3):
        path = two / f"pose/{i:06d}.txt"
        np.savetxt(path, moved @ np.loadtxt(path))
    objects = json.loads((two / "objects.json").read_text())
    for entry in objects.values():
        entry["pose"] = (moved @ np.array(entry["pose"])).tolist()
    (two / "objects.json").write_text(json.dumps(objects))
    out = find(ScenePairs([str(one), str(two)], kind="across"))
    assert (out["is_match"].sum(1) > 100).all()
    assert color_error(out) < 4


def test_without_poses_the_object_is_held_apart_from_the_background_only(scenes):
    out = find(ScenePairs({"toy": scenes}, kind="across"))
    assert not out["is_match"].any()
    assert out["anchor"].all()
    on_object = (out["mask_b"] > 0).flatten(1).gather(1, out["non_match"].flatten(1))
    assert not on_object.any()


def test_pasted_objects_bring_their_own_matches_and_cover_others(scenes):
    out = find(ScenePairs(scenes, kind="synthetic"), matches=3000, attempts=6000)
    assert color_error(out) < 4
    index = out["match_a"].long()
    identity = out["mask_a"].flatten(1).gather(1, index[..., 1] * out["mask_a"].shape[2] + index[..., 0])
    counts = [set(identity[i][out["is_match"][i]].tolist()) for i in range(4)]
    assert all(len(c) > 3 for c in counts), "objects of both scenes must have matches"
    assert out["mask_a"].max() < OBJECTS


def test_kinds_mix_by_weights_into_one_batch(scenes):
    kinds = [ScenePairs(scenes, kind=kind) for kind in ("within", "different", "synthetic")]
    data = Mixture([*kinds, ScenePairs({"toy": scenes}, kind="across")], weights=[3, 2, 1, 2], length=8)
    out = find(data, count=8)
    assert out["blind"].sum() == 4
    assert out["anchor"].any(1).all()


def test_impossible_kinds_say_what_they_need(scenes, tmp_path):
    with pytest.raises(InputError, match="no two scenes for pairs of kind 'different'"):
        ScenePairs(scenes[:1], kind="different")
    with pytest.raises(InputError, match="kind is 'other'"):
        ScenePairs(scenes, kind="other")
