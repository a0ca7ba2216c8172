import numpy as np
import pytest

from mmcontrast.cli import main
from mmcontrast.data.scene_report import report, table
from mmcontrast.data.toy_scene import write_toy_scene


@pytest.fixture
def scene(tmp_path):
    return write_toy_scene(tmp_path / "scene", frames=5)


def test_a_sound_scene_is_called_sound(scene):
    *pairs, summary = report(scene)
    assert summary["verdict"] == "sound"
    assert all(row["agree"] > 0.8 and row["millimetres"] < 5 for row in pairs)
    assert all(row["grey"] < row["grey_same"] / 4 for row in pairs)
    assert "5 usable frames, 0 not; sound" in table([*pairs, summary])


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


def test_the_shared_scenes_are_sound(test_data):
    for name in ("redkitchen", "apc_bin"):
        *pairs, summary = report(test_data(f"rgbd/{name}.tar"), pairs=4)
        assert summary["verdict"] == "sound"
        assert np.median([row["grey"] / row["grey_same"] for row in pairs]) < 0.7


def test_doctor_prints_the_table(scene, capsys):
    assert main(["doctor", "--scene", str(scene)]) == 0
    assert "5 usable frames, 0 not; sound" in capsys.readouterr().out
    assert main(["doctor", "--scene", str(scene), "--depth-unit", "0.005"]) == 1
    (scene / "intrinsics.txt").unlink()
    assert main(["doctor", "--scene", str(scene)]) == 2
    assert "intrinsics.txt: missing" in capsys.readouterr().err
