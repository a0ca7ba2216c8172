import re
from pathlib import Path

import cv2
import numpy as np
import pytest
from sklearn.datasets import load_sample_image

from mmcontrast.cli.main import main
from mmcontrast.data.datasets.scene_pairs import ScenePairs
from mmcontrast.data.datasets.toy_scene import camera_around, write_toy_scene
from mmcontrast.data.rgbd.check import report, table
from mmcontrast.data.rgbd.scenes import open_scenes


@pytest.fixture
def scene(tmp_path):
    return write_toy_scene(tmp_path / "scene", frames=5)


def test_a_sound_scene_is_called_sound(scene):
    *pairs, summary = report(scene)
    assert summary["verdict"] == "sound"
    assert all(row["agree"] > 0.8 and row["millimeters"] < 5 for row in pairs)
    assert all(row["gray"] < row["gray_same"] / 4 for row in pairs)
    assert "5 usable frames, 0 not; sound" in table([*pairs, summary])


def test_a_camera_that_changes_its_exposure_is_sound(scene):
    for path in list((scene / "color").glob("*.png"))[::2]:
        cv2.imwrite(str(path), (cv2.imread(str(path)) * 0.5).astype(np.uint8))
    *pairs, summary = report(scene)
    assert summary["verdict"] == "sound"
    assert all(row["gray"] < row["gray_same"] / 4 for row in pairs)


def test_world_to_camera_poses_are_found_out(scene):
    for path in (scene / "pose").glob("*.txt"):
        np.savetxt(path, np.linalg.inv(np.loadtxt(path)))
    assert "they seem to be world-to-camera" in report(scene)[-1]["verdict"]


def test_axes_of_opengl_are_found_out(scene):
    for path in (scene / "pose").glob("*.txt"):
        np.savetxt(path, np.loadtxt(path) @ np.diag([1, -1, -1, 1]))
    assert "the poses seem to be OpenGL's" in report(scene)[-1]["verdict"]


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        ("{f} 0 160\n0 {f} 120\n0 0 1", "they seem to be of another size"),
        ("500 0 79.5\n0 500 59.5\n0 0 1", "intrinsics are"),
    ],
)
def test_the_intrinsics_of_another_camera_are_found_out(scene, matrix, message):
    focal = np.loadtxt(scene / "intrinsics.txt")[0, 0]
    (scene / "intrinsics.txt").write_text(matrix.format(f=2 * focal))
    assert message in report(scene)[-1]["verdict"]


@pytest.mark.parametrize(
    ("depth_unit", "scale", "message"),
    [(1e-6, 1, "depth unit seems wrong"), (None, 1000, "poses seem to be in another unit")],
)
def test_lengths_in_another_unit_are_found_out_where_nothing_overlaps(scene, depth_unit, scale, message):
    for path in (scene / "pose").glob("*.txt"):
        pose = np.loadtxt(path)
        pose[:3, 3] *= scale
        np.savetxt(path, pose)
    verdict = report(scene, depth_unit)[-1]["verdict"]
    assert "no two views overlap" in verdict
    assert message in verdict


def test_the_wrong_unit_is_named_with_the_right_one(scene):
    assert "with 0.001 m; the depth unit seems wrong" in report(scene, depth_unit=0.005)[-1]["verdict"]


def test_skipped_frames_are_listed(scene):
    (scene / "pose/000003.txt").unlink()
    with pytest.warns(UserWarning, match="1 of 5 frames"):
        rows = report(scene)
    text = table(rows)
    assert "4 usable frames, 1 not; sound" in text
    assert "    000003 has no pose/000003.txt" in text
    assert max(len(line) for line in text.splitlines() if str(scene) not in line) <= 80


def test_a_shared_scene_is_sound(test_data):
    *pairs, summary = report(test_data("rgbd/apc_bin.tar"), pairs=4)
    assert summary["verdict"] == "sound"
    assert summary["match_px"] < 3
    assert np.median([row["gray"] / row["gray_same"] for row in pairs]) < 0.7


def test_the_lenses_of_a_shared_scene_are_told_apart(test_data):
    verdict = report(test_data("rgbd/redkitchen.tar"), pairs=4)[-1]["verdict"]
    found = re.search(r"if color's focal length is (\d+\.\d)", verdict)
    assert found, verdict
    assert float(found[1]) == pytest.approx(525 / 2, rel=0.03)  # a Kinect's color lens; its depth has 585 / 2


def write_photograph_on_a_table(folder: Path, depth_focal: float) -> Path:
    """Views of 300 x 200 pixels around a photograph; depth has so many times the focal length of color."""
    photo = load_sample_image("china.jpg")[..., ::-1]  # (427, 640, 3)
    color = np.array([[260.0, 0, 149.5], [0, 260, 99.5], [0, 0, 1]])
    depth = color * [[depth_focal, 1, 1], [1, depth_focal, 1], [1, 1, 1]]
    for kind in ("color", "depth", "pose"):
        (folder / kind).mkdir(parents=True)
    rays = np.stack([*np.mgrid[:200, :300][::-1], np.ones((200, 300))], -1)  # (H, W, 3): x, y, 1
    for i in range(8):
        pose = camera_around(0.2 * i, elevation=1.1, distance=0.5)

        def on_table(intrinsics: np.ndarray, pose: np.ndarray = pose) -> tuple[np.ndarray, np.ndarray]:
            ray = rays @ np.linalg.inv(intrinsics).T @ pose[:3, :3].T  # of depth 1
            along = -pose[2, 3] / ray[..., 2]
            return along, pose[:3, 3] + along[..., None] * ray

        _, point = on_table(color)
        x, y = (point[..., 0] + 0.3) / 0.6 * 640, (point[..., 1] + 0.2) / 0.4 * 427
        image = cv2.remap(photo, x.astype(np.float32), y.astype(np.float32), cv2.INTER_AREA)
        cv2.imwrite(str(folder / f"color/{i}.png"), image)
        cv2.imwrite(str(folder / f"depth/{i}.png"), (1000 * on_table(depth)[0]).round().astype(np.uint16))
        np.savetxt(folder / f"pose/{i}.txt", pose)
    np.savetxt(folder / "intrinsics.txt", depth)
    return folder


def test_depth_of_another_lens_is_found_out_and_what_doctor_says_mends_it(tmp_path):
    registered = report(write_photograph_on_a_table(tmp_path / "registered", 1.0))[-1]
    assert registered["verdict"] == "sound"
    assert registered["match_px"] < 1
    scene = write_photograph_on_a_table(tmp_path / "scene", 1.15)
    with pytest.warns(UserWarning, match="depth does not seem to be registered to color"):
        ScenePairs(scene)
    verdict = report(scene)[-1]["verdict"]
    found = re.search(r"depth does not seem to be registered .* in three lines: (.*) / (.*) / (.*)", verdict)
    assert found, verdict
    (scene / "color_intrinsics.txt").write_text("\n".join(found.groups()))
    mended = report(scene)[-1]
    assert mended["verdict"] == "sound"
    assert mended["match_px"] < 1
    (one,), (other,) = open_scenes(tmp_path / "registered"), open_scenes(scene)
    assert other.intrinsics[0, 0] == pytest.approx(260, rel=0.01)
    depth, expected = other.view(3).depth.astype(int), one.view(3).depth
    seen = depth > 0  # the longer lens sees the middle
    assert 0.7 < seen.mean() < 0.8
    assert np.abs(depth - expected)[seen].mean() < 2  # millimeters


def test_doctor_prints_the_table(scene, capsys):
    assert main(["doctor", "--scene", str(scene)]) == 0
    assert "5 usable frames, 0 not; sound" in capsys.readouterr().out
    assert main(["doctor", "--scene", str(scene), "--depth-unit", "0.005"]) == 1
    (scene / "intrinsics.txt").unlink()
    assert main(["doctor", "--scene", str(scene)]) == 2
    assert "intrinsics.txt: missing" in capsys.readouterr().err
