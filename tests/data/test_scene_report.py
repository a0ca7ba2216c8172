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
    assert report(scene)[-1]["verdict"] != "sound"


def test_the_wrong_unit_is_named_with_the_right_one(scene):
    assert "with 0.001 m; the depth unit seems wrong" in report(scene, depth_unit=0.005)[-1]["verdict"]


def test_skipped_frames_are_listed(scene):
    (scene / "pose/000003.txt").unlink()
    with pytest.warns(UserWarning, match="1 frames"):
        rows = report(scene)
    assert "  000003 has no pose" in table(rows)


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
