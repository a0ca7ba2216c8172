import shutil
import tarfile

import cv2
import numpy as np
import pytest
import yaml

from mmcontrast.data.datasets.scene_pairs import ScenePairs
from mmcontrast.data.datasets.toy_scene import camera_around, write_toy_scene
from mmcontrast.data.rgbd.scenes import open_scenes, scale_intrinsics
from mmcontrast.errors import InputError
from tests.pdc_scene import to_quaternion, write_pdc_scene


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    return write_toy_scene(tmp_path_factory.mktemp("toy") / "scene", frames=5)


@pytest.fixture
def copy(toy, tmp_path):
    return shutil.copytree(toy, tmp_path / "copy")


@pytest.fixture
def pdc(toy, tmp_path):
    return write_pdc_scene(toy, tmp_path / "caterpillar_scene")


@pytest.fixture
def tum(toy, tmp_path):
    root = tmp_path / "tum"
    shutil.copytree(toy / "color", root / "rgb")
    (root / "depth").mkdir()
    shutil.copy(toy / "intrinsics.txt", root)
    lines = {"rgb": ["# color"], "depth": ["# depth"], "groundtruth": ["# pose"]}
    for i in range(5):
        depth = cv2.imread(str(toy / f"depth/{i:06d}.png"), cv2.IMREAD_UNCHANGED)
        cv2.imwrite(str(root / f"depth/{i:06d}.png"), depth * 5)  # 1/5000 m
        pose = np.loadtxt(toy / f"pose/{i:06d}.txt")
        lines["rgb"].append(f"{100 + i}.000 rgb/{i:06d}.png")
        lines["depth"].append(f"{100 + i}.013 depth/{i:06d}.png")
        numbers = " ".join(f"{v:.8f}" for v in [*pose[:3, 3], *to_quaternion(pose)])
        lines["groundtruth"] += [f"{100 + i - 0.3} 0 0 0 0 0 0 1", f"{100 + i}.004 {numbers}"]
    for name, rows in lines.items():
        (root / f"{name}.txt").write_text("\n".join(rows))
    return root


@pytest.mark.parametrize("layout", ["toy", "pdc", "tum"])
def test_all_layouts_give_the_same_views_and_overlaps(layout, toy, request):
    (scene,), (reference,) = open_scenes(request.getfixturevalue(layout)), open_scenes(toy)
    assert len(scene) == 5
    assert not scene.skipped
    assert scene.size == (120, 160)
    for i in range(5):
        view, expected = scene.view(i), reference.view(i)
        np.testing.assert_array_equal(view.color, expected.color)
        np.testing.assert_allclose(view.depth * scene.depth_unit, expected.depth * 0.001, atol=1e-9)
        np.testing.assert_allclose(view.pose, expected.pose, atol=1e-5)
        np.testing.assert_allclose(view.intrinsics, expected.intrinsics)
    share, agreement = scene.overlap(0, 1)
    assert share > 0.9
    assert agreement > 0.95
    assert scene.overlap(0, 4)[0] < share


def test_object_numbers_names_and_poses_are_read(toy):
    (scene,) = open_scenes(toy)
    assert set(np.unique(scene.view(0).mask)) == {0, 1, 2, 3}
    assert scene.objects[2]["name"] == "ball-0-2"
    assert scene.objects[2]["pose"].shape == (4, 4)


def test_a_tar_reads_like_its_folder_and_several_scenes_are_found(toy, tmp_path):
    write_toy_scene(tmp_path / "many" / "second", seed=1, frames=3)
    shutil.copytree(toy, tmp_path / "many" / "first")
    with tarfile.open(tmp_path / "all.tar", "w") as tar:
        tar.add(tmp_path / "many", "many")
    for place in (tmp_path / "many", tmp_path / "all.tar"):
        assert [len(scene) for scene in open_scenes(place)] == [5, 3]
    in_tar, in_folder = open_scenes(tmp_path / "all.tar")[1].view(2), open_scenes(tmp_path / "many")[1].view(2)
    np.testing.assert_array_equal(in_tar.depth, in_folder.depth)


def test_frames_can_be_held_out_by_number(toy):
    kept, held = open_scenes([f"{toy}[:3]", f"{toy}[3:]"])
    assert [f.name for f in kept.frames] == ["000000", "000001", "000002"]
    assert [f.name for f in held.frames] == ["000003", "000004"]
    with pytest.raises(InputError, match="no usable frame"):
        open_scenes(f"{toy}[90:]")


def test_unusable_frames_are_left_out_listed_and_warned_of(copy):
    (copy / "pose/000000.txt").unlink()
    (copy / "pose/000001.txt").write_text("nan " * 16)
    (copy / "depth/000002.png").unlink()
    cv2.imwrite(str(copy / "depth/000003.png"), np.zeros((120, 160), np.uint16))
    with pytest.warns(UserWarning, match="4 of 5 frames cannot be used: 000000 has no pose/000000.txt"):
        (scene,) = open_scenes(copy)
    assert [f.name for f in scene.frames] == ["000004"]
    assert scene.skipped == {
        "000000": "has no pose/000000.txt",
        "000001": "its pose is not finite (tracking was lost)",
        "000002": "has no depth image (a 16-bit PNG)",
        "000003": "has no depth above 0",
    }


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (np.full((60, 160), 900, np.uint16), "has color of 160x120 but depth of 160x60"),
        (np.full((120, 160), 90, np.uint8), "wanted a 16-bit PNG"),
        (b"", "cannot be decoded"),
        (b"not an image", "cannot be decoded"),
    ],
)
def test_a_bad_depth_image_is_named_with_its_reason(copy, content, reason):
    path = copy / "depth/000002.png"
    path.write_bytes(content) if isinstance(content, bytes) else cv2.imwrite(str(path), content)
    with pytest.warns(UserWarning, match=f"000002 .*{reason}"):
        (scene,) = open_scenes(copy)
    assert len(scene) == 4


@pytest.mark.parametrize("kind", ["color", "depth"])
def test_images_that_were_cut_off_are_left_out(copy, kind):
    path = copy / kind / "000002.png"
    path.write_bytes(path.read_bytes()[:-300])
    with pytest.warns(UserWarning, match="1 of 5 frames cannot be used: 000002 cannot be read .*cannot be decoded"):
        (scene,) = open_scenes(copy)
    assert len(scene) == 4


def test_a_page_in_place_of_a_image_and_a_missing_image_are_counted(copy):
    (copy / "color/000001.png").write_text("<html>404</html>")
    (copy / "color/000002.png").unlink()
    with pytest.warns(UserWarning, match="2 of 5 frames"):
        (scene,) = open_scenes(copy)
    assert scene.skipped == {
        "000001": "cannot be read (its color: is HTML, SVG or XML text, not a bitmap image)",
        "000002": "has no color image",
    }


def test_texts_that_hold_something_else_are_named(copy):
    (copy / "pose/000000.txt").write_text("hello")
    (copy / "pose/000001.txt").write_bytes(b"\xff\xfe\x00")
    (copy / "pose/000002.txt").write_text("1 0 0 0 0 1 0 0 0 0 1 0")
    with pytest.warns(UserWarning, match=r"3 of 5 frames cannot be used: 000000 its pose/000000\.txt is not 4 x 4"):
        open_scenes(copy)
    (copy / "objects.json").write_text("{1: chair}")
    with pytest.raises(InputError, match=r"objects\.json: wanted"):
        open_scenes(copy)


def test_broken_texts_of_the_pdc_layout_are_named(pdc):
    images = pdc / "processed" / "images"
    poses = yaml.safe_load((images / "pose_data.yaml").read_text())
    del poses[0], poses[1]["camera_to_world"]["quaternion"]["w"]
    (images / "pose_data.yaml").write_text(yaml.safe_dump(poses))
    (images / "000002_rgb.png").unlink()
    with pytest.warns(UserWarning, match="3 of 5 frames"):
        (scene,) = open_scenes(pdc)
    assert scene.skipped["000000"] == "has no pose in pose_data.yaml"
    assert "camera_to_world" in scene.skipped["000001"]
    assert scene.skipped["000002"] == "has no color image"
    for name in ("pose_data.yaml", "camera_info.yaml"):
        for text in ("{a: [", "hello"):
            (images / name).write_text(text)
            with pytest.raises(InputError, match=name):
                open_scenes(pdc)
        (images / name).write_text("{}")
    with pytest.raises(InputError, match=r"camera_info\.yaml: holds no camera_matrix"):
        open_scenes(pdc)


def test_broken_lines_of_the_tum_layout_are_named(tum):
    truth = (tum / "groundtruth.txt").read_text().splitlines()
    truth[2] = "100.004 1 2 3"
    truth[4] = "101.004 0 0 0 0 0 0 0"
    truth[6] = truth[6].replace("102.004", "102.1")
    (tum / "groundtruth.txt").write_text("\n".join(truth) + "\n\n")
    (tum / "depth/000003.png").unlink()
    with pytest.warns(UserWarning, match="4 of 5 frames"):
        (scene,) = open_scenes(tum)
    assert list(scene.skipped.values()) == [
        "its pose is not 7 numbers, tx ty tz qx qy qz qw",
        "its pose has no rotation (tracking was lost)",
        "has no pose in groundtruth.txt within 0.02 s",
        "has no depth image (a 16-bit PNG)",
    ]
    (tum / "rgb.txt").write_text("yesterday rgb/000000.png")
    with pytest.raises(InputError, match=r"rgb\.txt: wanted lines that begin with a time"):
        open_scenes(tum)


def test_a_tum_folder_is_one_in_any_order_of_its_files(tum, tmp_path):
    with tarfile.open(tmp_path / "tum.tar", "w") as tar:
        for path in sorted(p for p in tum.rglob("*") if p.is_file()):
            tar.add(path, f"desk/{path.relative_to(tum)}")
    (scene,) = open_scenes(tmp_path / "tum.tar")
    assert (len(scene), scene.depth_unit) == (5, 1 / 5000)


@pytest.mark.parametrize("kind", ["tar", "zip"])
def test_a_pdc_scene_is_read_from_an_archive(kind, pdc, tmp_path):
    archive = shutil.make_archive(str(tmp_path / "packed"), kind, pdc.parent, pdc.name)
    (scene,), (folder,) = open_scenes(archive), open_scenes(pdc)
    assert len(scene) == len(folder) == 5
    np.testing.assert_array_equal(scene.view(4).depth, folder.view(4).depth)
    np.testing.assert_allclose(scene.view(4).pose, folder.view(4).pose)


def test_poses_must_be_rigid(copy):
    np.savetxt(copy / "pose/000001.txt", np.diag([2.0, 2, 2, 1]))
    with pytest.warns(UserWarning, match="000001 its pose is no rigid motion"):
        open_scenes(copy)


def test_missing_intrinsics_are_named(copy):
    (copy / "intrinsics.txt").unlink()
    with pytest.raises(InputError, match=r"intrinsics\.txt: missing"):
        open_scenes(copy)
    (copy / "intrinsics.txt").write_text("500 500 320")
    with pytest.raises(InputError, match="wanted 3 rows of 3"):
        open_scenes(copy)


def test_a_folder_without_a_scene_says_what_was_wanted(tmp_path):
    with pytest.raises(InputError, match="no posed RGB-D scene"):
        open_scenes(tmp_path)
    with pytest.raises(InputError, match="no such file"):
        open_scenes(tmp_path / "nowhere")


def test_tum_without_known_intrinsics_asks_for_them(tum):
    (tum / "intrinsics.txt").unlink()
    with pytest.raises(InputError, match=r"intrinsics\.txt: missing"):
        open_scenes(tum)
    known = tum.rename(tum.with_name("rgbd_dataset_freiburg2_desk"))
    assert open_scenes(known)[0].intrinsics[0, 0] == 520.9


def test_the_wrong_depth_unit_is_suspected_and_the_right_one_named(toy):
    with pytest.warns(UserWarning, match=r"with 0\.001 m; the depth unit seems wrong"):
        ScenePairs(str(toy), depth_unit=0.01)


@pytest.mark.parametrize("unit", [0, -0.001, float("nan")])
def test_a_unit_of_nothing_is_refused(toy, unit):
    with pytest.raises(InputError, match=r"depth_unit is .*; wanted meters per unit of depth, above 0"):
        open_scenes(toy, unit)


def test_a_scene_whose_views_have_nothing_in_common_is_refused(tmp_path):
    folder = write_toy_scene(tmp_path / "apart", frames=2)
    pose = camera_around(0.0)
    pose[0, 3] += 50
    np.savetxt(folder / "pose/000001.txt", pose)
    with pytest.raises(InputError, match="no two views overlap"):
        ScenePairs(str(folder))


def test_scenes_of_two_sizes_need_a_size(toy, tmp_path):
    write_toy_scene(tmp_path / "small", seed=1, frames=2, size=(60, 80))
    both = [str(toy), str(tmp_path / "small")]
    with pytest.raises(InputError, match="give size"):
        ScenePairs(both)
    data = ScenePairs(both, size=(60, 80))
    assert {tuple(data[i]["image_a"].shape) for i in range(8)} == {(3, 60, 80)}


def test_intrinsics_follow_the_pixels():
    k = np.array([[100.0, 0, 31.5], [0, 100, 23.5], [0, 0, 1]])
    half = scale_intrinsics(k, (48, 64), (24, 32))
    np.testing.assert_allclose(half, [[50, 0, 15.5], [0, 50, 11.5], [0, 0, 1]])


def test_the_shared_scenes_agree_with_themselves(test_data):
    for name in ("redkitchen", "apc_bin"):
        (scene,) = open_scenes(test_data(f"rgbd/{name}.tar"))
        agreements = [scene.overlap(i, i + 2)[1] for i in range(0, len(scene) - 2, 7)]
        assert np.median(agreements) > 0.95
