import json
import re
import tarfile

import cv2
import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from mmcontrast.cli.main import main
from mmcontrast.data.datasets.keypoints import read_keypoints
from mmcontrast.evals.pck import evaluate_keypoints, is_correct
from mmcontrast.predict.baselines import FlowTracker, IdentityTracker

HEIGHT, WIDTH, STEP = 96, 128, 4


def scene(frames: int) -> list[np.ndarray]:
    coarse = np.random.default_rng(0).integers(0, 255, (16, 24, 3), dtype=np.uint8)
    wide = cv2.resize(coarse, (WIDTH + 60, HEIGHT), interpolation=cv2.INTER_CUBIC)
    return [wide[:, 60 - STEP * t : 60 - STEP * t + WIDTH] for t in range(frames)]  # moves right


def badja(root):
    """A video of 6 frames, joints in every second; they move with the image."""
    for kind in ("JPEGImages", "Annotations"):
        (root / "DAVIS" / kind / "480p" / "cat").mkdir(parents=True)
    entries = []
    for t, frame in enumerate(scene(6)):
        Image.fromarray(frame).save(root / "DAVIS" / "JPEGImages" / "480p" / "cat" / f"{t:05d}.jpg", quality=95)
        mask = np.zeros((HEIGHT, WIDTH), np.uint8)
        mask[:20, :20] = 255  # its square root of area is 20
        Image.fromarray(mask).save(root / "DAVIS" / "Annotations" / "480p" / "cat" / f"{t:05d}.png")
        if t % 2 == 0:
            xy = np.array([[40 + STEP * t, 30], [60 + STEP * t, 50], [5 + STEP * t, 5]])
            full = (xy + 0.5) * [1920 / WIDTH, 1080 / HEIGHT] - 0.5
            path = "DAVIS/{}/Full-Resolution/cat/" + f"{t:05d}"
            entries.append(
                {
                    "image_path": path.format("JPEGImages") + ".jpg",
                    "segmentation_path": path.format("Annotations") + ".png",
                    "joints": full[:, ::-1].tolist(),
                    "visibility": [True, t < 4, t > 0],
                }
            )
    (root / "joints.json").write_text(json.dumps(entries))
    return root


def test_correct_by_hand():
    xy = np.array([[[0.0, 0.0], [3.0, 4.0]], [[10.0, 0.0], [0.0, 0.0]]])
    got = is_correct(xy, np.zeros((2, 2, 2)), np.array([25.0, 49.0]), 0.2)
    assert got.tolist() == [[True, True], [False, True]]


def test_badja(tmp_path):
    video = next(iter(read_keypoints(badja(tmp_path), tmp_path / "joints.json")))
    assert video.frames.tolist() == [0, 2, 4]
    assert np.allclose(video.xy[1, 0], [40 + 2 * STEP, 30], atol=1e-3)
    assert np.allclose(video.size, 20)
    still = evaluate_keypoints(read_keypoints(tmp_path, tmp_path / "joints.json"), IdentityTracker(), (0.1, 0.39, 0.41))
    # joint 0 is compared in frames 2 and 4, joint 1 in frame 2; they are 8, 16 and 8 pixels off, the joints' size is 20
    assert still.counts["num_points"] == 3
    assert (still.metrics["pck@0.1"], still.metrics["pck@0.39"]) == (0, 0)
    assert still.metrics["pck@0.41"] == pytest.approx(2 / 3)
    flow = evaluate_keypoints(read_keypoints(tmp_path / "DAVIS", tmp_path / "joints.json"), FlowTracker())
    assert flow.metrics["pck@0.2"] == 1


def test_badja_of_the_test_data(test_data, tmp_path):
    with tarfile.open(test_data("davis/dev.tar")) as tar:
        tar.extractall(tmp_path, [m for m in tar.getmembers() if "/cows/" in m.name], filter="data")
    result = evaluate_keypoints(read_keypoints(tmp_path, test_data("davis/badja_cows.json")), IdentityTracker())
    assert 0 < result.metrics["pck@0.1"] < result.metrics["pck@0.2"] < 0.6
    assert result.counts["num_points"] > 200


def test_jhmdb(tmp_path):
    frames, joints = tmp_path / "Rename_Images" / "run" / "video", tmp_path / "joint_positions" / "run" / "video"
    frames.mkdir(parents=True)
    joints.mkdir(parents=True)
    for t, frame in enumerate(scene(4)):
        Image.fromarray(frame).save(frames / f"{t + 1:05d}.png")
    xy = np.array([[[30.0, 30], [60, 70]]] * 4) + STEP * np.arange(4)[:, None, None] * [1, 0]  # (T, N, 2)
    savemat(joints / "joint_positions.mat", {"pos_img": xy.transpose(2, 1, 0) + 1})
    (tmp_path / "list.txt").write_text("/data/Rename_Images/run/video\n")
    video = next(iter(read_keypoints(tmp_path, tmp_path / "list.txt")))
    assert np.allclose(video.xy, xy)
    assert np.allclose(video.size, 0.6 * 50)
    assert evaluate_keypoints([video], FlowTracker()).metrics["pck@0.2"] == 1


def test_command_and_mistakes(tmp_path, capsys):
    badja(tmp_path)

    def run(*arguments: object) -> int:
        return main(["eval", "keypoints", *map(str, arguments)])

    assert run("--data", tmp_path, "--keypoints", tmp_path / "joints.json", "--model", "lab", "--resolution", 192) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["metrics"]["pck@0.2"] > 0.6
    assert result["counts"]["num_points"] == 3
    (tmp_path / "wrong.json").write_text('[{"joints": 1}]')
    for arguments, message in (
        (("--data", tmp_path, "--keypoints", tmp_path / "none.json"), "no such file"),
        (("--data", tmp_path, "--keypoints", tmp_path / "wrong.json"), "not a BADJA file"),
        (("--data", tmp_path / "x", "--keypoints", tmp_path / "joints.json"), "has no DAVIS"),
    ):
        assert run(*arguments, "--model", "identity") == 2
        assert re.search(message, capsys.readouterr().err)
