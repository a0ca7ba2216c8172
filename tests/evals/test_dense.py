import json
import shutil
import warnings

import numpy as np
import pytest
import torch
from PIL import Image

from mmcontrast.cli.main import main
from mmcontrast.data.datasets.toy_scene import write_toy_scene
from mmcontrast.data.rgbd.scenes import View, open_scenes
from mmcontrast.errors import InputError
from mmcontrast.evals.correspondence import evaluate_correspondence
from mmcontrast.evals.dense import EvaluationPair, PointErrors, evaluate_dense, match_pair, sample_pairs, summarize
from mmcontrast.evals.dense_baselines import DenseSift, RandomDescriptors
from mmcontrast.predict.match import DescriptorMatcher


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    return str(write_toy_scene(tmp_path_factory.mktemp("eval") / "scene", seed=1, frames=12))


def test_a_pair_by_hand():
    """Three pixels in a row, one channel; the first point is found one pixel off, the second where it is."""
    described = {0: torch.tensor([0.0, 5.0, 9.0]), 1: torch.tensor([3.0, 1.0, 9.0])}
    intrinsics = np.eye(3)
    views = [
        View(np.full((1, 3, 3), i, np.uint8), np.array([[1000, 1000, 0]], np.uint16), mask, intrinsics, np.eye(4))
        for i, mask in enumerate(np.array([[[1, 1, 1]], [[1, 0, 1]]], np.uint8))
    ]
    xy = torch.tensor([[0.0, 0], [2, 0]])
    pair = EvaluationPair("near", *views, 0.001, xy, xy)
    describe = lambda image: described[int(image[0, 0, 0])].view(1, 1, 3)
    full = match_pair(describe, pair, masked=False)
    assert full.pixels.tolist() == [1, 0]
    assert full.meters[0] == pytest.approx(1)
    assert np.isnan(full.meters[1]), "nothing was measured there"
    np.testing.assert_allclose(full.closer, [1 / 3, 0])
    on_object = match_pair(describe, pair, masked=True)
    assert on_object.pixels.tolist() == [0, 0]


def test_figures_by_hand():
    trials = [PointErrors(np.array([0.0, 10]), np.array([0.0, np.nan]), np.array([0.0, 0.5]))]
    trials += [PointErrors(np.array([4.0, 30]), np.array([0.1, 0.3]), np.array([0.1, 0.2]))]
    result = summarize(trials, side=80)
    assert result["pck@0.05"] == 0.5
    assert result["pck@0.1"] == 0.5
    assert result["median_px"] == 7
    assert result["mean_px"] == 11
    assert result["median_3d_mm"] == pytest.approx(100)
    assert result["closer_than_truth"] == pytest.approx(0.2)
    assert result["auc_px"] == pytest.approx((1 + 0.5 + 0.8 + 0) / 4)
    assert (result["percentiles_px"][0], result["percentiles_px"][100]) == (0, 30)


def test_the_true_place_is_found_by_its_own_point_in_space_and_noise_finds_nothing(scene):
    places = {}
    for frame in open_scenes(scene):
        for i in range(len(frame)):
            view = frame.view(i)
            height, width = view.depth.shape
            y, x = np.mgrid[:height, :width]
            ray = np.stack([x, y, np.ones_like(x)], -1) @ np.linalg.inv(view.intrinsics).T
            point = ray * view.depth[..., None] * 0.001 @ view.pose[:3, :3].T + view.pose[:3, 3]
            places[view.color.tobytes()] = torch.from_numpy(point).float().permute(2, 0, 1)
    models = {
        "place": lambda image: places[image.tobytes()],
        "noise": DescriptorMatcher(RandomDescriptors()).describe,
    }
    results = evaluate_dense(models, scene, num_pairs=3, num_points=30)
    result = {name: figures.metrics for name, figures in results.items()}
    noise = results["noise"]
    assert result["place"]["median_px"] < 1
    assert result["place"]["pck@0.05"] > 0.95
    assert result["place"]["closer_than_truth"] < 0.001
    assert result["noise"]["pck@0.05"] < 0.1
    assert result["noise"]["closer_than_truth"] == pytest.approx(0.5, abs=0.1)
    assert noise.counts["num_points"] == sum(part["num_points"] for part in result["noise"]["per_overlap"].values())
    again = evaluate_dense(models, scene, num_pairs=3, num_points=30)
    assert again == results, "pairs and points are the same in every run"


def test_classes_share_what_they_say(scene):
    (opened,) = open_scenes(scene)
    index = {opened.view(i).color.tobytes(): i for i in range(len(opened))}
    for pair in sample_pairs([opened], 3, 20, None, 0):
        share, _ = opened.overlap(index[pair.a.color.tobytes()], index[pair.b.color.tobytes()])
        low, high = {"near": (0.75, 0.95), "middle": (0.5, 0.75), "far": (0.25, 0.5)}[pair.overlap]
        assert low <= share < high


def test_masks_that_are_not_there_are_named(scene, tmp_path):
    bare = shutil.copytree(scene, tmp_path / "bare")
    shutil.rmtree(bare / "mask")
    with pytest.raises(InputError, match="has no masks"):
        evaluate_dense({}, str(bare), masked=True)


def test_sift_is_a_grid_of_unit_vectors():
    image = torch.rand(2, 3, 40, 48, generator=torch.Generator().manual_seed(0))
    grid = DenseSift(stride=4).grid(image)
    assert grid.shape == (2, 128, 10, 12)
    norm = grid.norm(dim=1)
    torch.testing.assert_close(norm, torch.ones_like(norm), atol=1e-3, rtol=1e-3)


def test_on_the_command_line(scene, tmp_path, capsys):
    arguments = ["--data", scene, "--pairs", "1", "--num-points", "20", "--out", str(tmp_path)]
    assert main(["eval", "dense", "--model", "lab,random", *arguments, "--masked"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["metrics"]["lab"]["median_px"] < result["metrics"]["random"]["median_px"]
    assert json.loads((tmp_path / "metrics.json").read_text()) == result
    with Image.open(tmp_path / "errors.png") as image:
        assert image.width > 200
    assert main(["eval", "dense", "--model", "lab", "--data", str(tmp_path / "no")]) == 2


@pytest.mark.parametrize("wrong", [{"num_pairs": 0}, {"num_points": 0}, {"size": (0, 9)}])
def test_sizes_and_counts_of_nothing_are_refused(scene, wrong):
    with pytest.raises(InputError, match="wanted at least one pair"):
        evaluate_dense({}, scene, **wrong)


def test_a_scene_whose_truth_is_wrong_is_told(scene, tmp_path, capsys):
    inverted = shutil.copytree(scene, tmp_path / "inverted")
    for path in (inverted / "pose").glob("*.txt"):
        np.savetxt(path, np.linalg.inv(np.loadtxt(path)))
    with pytest.warns(UserWarning, match="they seem to be world-to-camera"):
        evaluate_dense({}, str(inverted), num_pairs=1, num_points=10)
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        main(["eval", "dense", "--model", "lab", "--data", str(inverted), "--out", str(tmp_path), "--pairs", "1"])
    error = capsys.readouterr().err
    assert f"mmcontrast: {inverted}: " in error
    assert "UserWarning" not in error


@pytest.fixture
def keypoints(tmp_path):
    """Two images of a class, the second shifted by 6 pixels, a copy of the first, and another class."""
    rng = np.random.default_rng(0)
    base = rng.integers(0, 255, (30, 60, 3), dtype=np.uint8)
    points = [[10, 5], [30, 20], [40, 12]]
    for name, image, shift, label in (
        ("a", base, 0, "x"),
        ("b", np.roll(base, 6, 1), 6, "x"),
        ("copy", base, 0, "x"),
        ("c", base[::-1], 0, "y"),
    ):
        Image.fromarray(np.ascontiguousarray(image)).save(tmp_path / f"{name}.png")
        moved = [[x + shift, y] for x, y in points]
        (tmp_path / f"{name}.json").write_text(json.dumps({"keypoints": moved, "class": label}))
    return tmp_path


def test_keypoints_by_hand(keypoints):
    by_color = lambda image: torch.from_numpy(image).float().permute(2, 0, 1)
    stuck = lambda image: torch.ones(1, *image.shape[:2])  # every pixel alike: the first is taken
    results = evaluate_correspondence({"color": by_color, "stuck": stuck}, keypoints)
    result = {name: figures.metrics for name, figures in results.items()}
    assert result["color"]["pck@0.05"] == result["color"]["pck_box@0.05"] == 1
    assert results["color"].counts["num_pairs"] == 2, "copies and classes of one image count for nothing"
    assert results["color"].counts["num_points"] == 6
    assert result["stuck"]["pck@0.1"] == 0
    assert result["color"]["per_class"].keys() == {"x"}


def test_keypoints_outside_their_image_are_named(keypoints):
    (keypoints / "a.json").write_text(json.dumps({"keypoints": [[100, 5]], "class": "x"}))
    with pytest.raises(InputError, match=r"a.*: has keypoints outside its 60x30 pixels"):
        evaluate_correspondence({}, keypoints)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[[1, 2]]", "wants"),
        ('{"keypoints": [[1, 2', "wants"),
        ('{"keypoints": [1, 2, 3]}', "wants"),
        ('{"keypoints": [[1, NaN]]}', "wanted pixels"),
        ('{"keypoints": []}', "wanted pixels"),
        ('{"keypoints": [[1, 2]], "class": "x"}', "has 1 keypoints, but the first of class 'x' has 3"),
    ],
)
def test_other_texts_than_keypoints_are_named(keypoints, text, message):
    (keypoints / "b.json").write_text(text)
    with pytest.raises(InputError, match=rf"b\.png: .*{message}"):
        evaluate_correspondence({}, keypoints)


def test_folders_are_named_on_the_command_line(tmp_path, capsys):
    assert main(["eval", "correspondence", "--model", "lab", "--data", str(tmp_path)]) == 2
    assert f"mmcontrast: {tmp_path}: holds no images" in capsys.readouterr().err


def test_the_shared_keypoints_are_read(test_data):
    result = evaluate_correspondence(
        {"noise": DescriptorMatcher(RandomDescriptors(2)).describe}, test_data("correspondence/pf_willow_dev.tar")
    )["noise"]
    assert result.counts["num_classes"] == 2
    assert result.counts["num_pairs"] == 10 * 9 + 20 * 19, "ten of the forty images are copies"
    assert result.metrics["pck@0.1"] < 0.15
