"""The files of a folder: hidden ones, links, and folders that contain themselves."""

from pathlib import Path

import pytest

from mmcontrast.data.datasets.toy_scene import write_toy_scene
from mmcontrast.data.io.folders import files_in, is_hidden
from mmcontrast.data.rgbd.scenes import open_scenes


def touch(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()


def test_files_come_before_subfolders_and_without_hidden_ones(tmp_path: Path) -> None:
    for name in ("b.txt", "a/2.txt", "a/10.txt", "a/b/c.txt", ".hidden", ".git/config", "a/._2.txt"):
        touch(tmp_path / name)
    assert list(files_in(tmp_path)) == ["b.txt", "a/2.txt", "a/10.txt", "a/b/c.txt"]


def test_links_are_followed_but_not_in_a_circle(tmp_path: Path) -> None:
    touch(tmp_path / "elsewhere" / "cat" / "1.jpg")
    root = tmp_path / "set"
    root.mkdir()
    for name in ("train", "again"):  # one place may be linked twice
        (root / name).symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "up").symlink_to(root)
    (root / "dangling").symlink_to(tmp_path / "nowhere")
    found = list(files_in(root))
    assert [name for name in found if name.endswith(".jpg")] == ["again/cat/1.jpg", "train/cat/1.jpg"]


def test_a_folder_of_linked_scenes_is_read(tmp_path: Path) -> None:
    scene = write_toy_scene(tmp_path / "scene", frames=2)
    (tmp_path / "chosen").mkdir()
    (tmp_path / "chosen" / "one").symlink_to(scene)
    (found,) = open_scenes(tmp_path / "chosen")
    assert len(found.frames) == 2


def test_a_link_to_itself_is_reported_and_the_rest_is_read(tmp_path: Path) -> None:
    for name in ("1.png", "10.png", "2.png", "__MACOSX/3.png", "sub/4.png"):
        touch(tmp_path / name)
    (tmp_path / "loop").symlink_to("loop")
    with pytest.warns(UserWarning, match=r"loop': is passed over because it cannot be read"):
        assert [n for n in files_in(tmp_path) if not is_hidden(n)] == ["1.png", "2.png", "10.png", "sub/4.png"]
