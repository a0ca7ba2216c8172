import sys

import cv2
import numpy as np
import pytest
from PIL import Image

from data_scripts import render_rgbd
from mmcontrast.data.rgbd.check import report
from mmcontrast.data.rgbd.scenes import open_scenes

CUBE = """mtllib model.mtl
v -0.05 -0.03 -0.04
v 0.05 -0.03 -0.04
v 0.05 0.03 -0.04
v -0.05 0.03 -0.04
v -0.05 -0.03 0.04
v 0.05 -0.03 0.04
v 0.05 0.03 0.04
v -0.05 0.03 0.04
vt 0 0
vt 1 0
vt 1 1
vt 0 1
usemtl paint
"""
SIDES = ((4, 3, 2, 1), (5, 6, 7, 8), (1, 2, 6, 5), (2, 3, 7, 6), (3, 4, 8, 7), (4, 1, 5, 8))


@pytest.fixture
def meshes(tmp_path):
    faces = "".join(f"f {a}/1 {b}/2 {c}/3\nf {a}/1 {c}/3 {d}/4\n" for a, b, c, d in SIDES)
    for seed, name in enumerate(("brick", "block")):
        folder = tmp_path / "meshes" / name
        folder.mkdir(parents=True)
        (folder / "model.obj").write_text(CUBE + faces)
        (folder / "model.mtl").write_text("newmtl paint\nKd 1 1 1\nmap_Kd texture.png\n")
        image = render_rgbd.random_texture(np.random.default_rng(seed), 64)
        cv2.imwrite(str(folder / "texture.png"), image)
    return tmp_path / "meshes"


def run(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["render_rgbd", *map(str, arguments)])
    return render_rgbd.main()


def test_renders_are_sound_scenes(meshes, tmp_path, monkeypatch, capsys):
    pytest.importorskip("pybullet", reason="PyBullet is not installed (the render extra)")
    out = tmp_path / "out"
    arguments = ("--meshes", meshes, "--out", out, "--scenes", 1, "--views", 6, "--objects", 2, 2, "--size", 96, 128)
    assert run(monkeypatch, *arguments) == 0
    assert "ScenePairs" in capsys.readouterr().out
    (scene,) = open_scenes(out)
    assert {entry["name"] for entry in scene.objects.values()} == {"brick", "block"}
    assert set(np.unique([scene.view(i).mask for i in range(6)])) == {0, 1, 2}
    *pairs, summary = report(out)
    assert summary["verdict"] == "sound"
    assert np.median([row["agree"] for row in pairs]) > 0.5
    assert np.median([row["gray"] / row["gray_same"] for row in pairs]) < 0.5


def test_a_glb_file_brings_its_texture(tmp_path, monkeypatch):
    pytest.importorskip("pybullet", reason="PyBullet is not installed (the render extra)")
    trimesh = pytest.importorskip("trimesh", reason="trimesh is not installed (the render extra)")
    mesh = trimesh.creation.box((0.2, 0.2, 0.2))
    uv = np.tile([0.5, 0.5], (len(mesh.vertices), 1))
    mesh.visual = trimesh.visual.TextureVisuals(uv, image=Image.new("RGB", (8, 8), (20, 200, 20)))
    (tmp_path / "meshes").mkdir()
    mesh.export(tmp_path / "meshes" / "cube.glb")
    arguments = ("--scenes", 1, "--views", 2, "--objects", 1, 1, "--size", 96, 128)
    assert run(monkeypatch, "--meshes", tmp_path / "meshes", "--out", tmp_path / "out", *arguments) == 0
    (scene,) = open_scenes(tmp_path / "out")
    assert scene.objects[1]["name"] == "cube"
    view = scene.view(0)
    red, green, blue = view.color[view.mask == 1].mean(0)
    assert green > 2 * max(red, blue)


def test_mistakes_are_explained(meshes, tmp_path, monkeypatch, capsys):
    out = tmp_path / "out"
    assert run(monkeypatch, "--meshes", tmp_path / "none", "--out", out) == 2
    assert run(monkeypatch, "--meshes", meshes, "--out", out, "--only", "chair") == 2
    assert "no mesh is called chair; there are block, brick" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("page.glb", b"<html>404</html>", "page.glb: cannot be read as a .glb mesh"),
        ("none.obj", b"# nothing", "none.obj: holds no vertices"),
        ("odd.obj", b"v 1 2\nv 1 2 3\n", "odd.obj: has a vertex that is not three numbers"),
        ("image.jpg", b"\xff\xd8\xff", "image.jpg: is no .obj or .glb file, and no tar"),
    ],
)
def test_files_that_are_no_mesh_are_named(tmp_path, monkeypatch, capsys, name, content, message):
    pytest.importorskip("trimesh", reason="trimesh is not installed (the render extra)")
    (tmp_path / name).write_bytes(content)
    assert run(monkeypatch, "--meshes", tmp_path / name, "--out", tmp_path / "out") == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("wrong", [("--objects", 3, 1), ("--views", 0), ("--size", 0, 64)])
def test_counts_of_nothing_are_refused(meshes, tmp_path, monkeypatch, capsys, wrong):
    assert run(monkeypatch, "--meshes", meshes, "--out", tmp_path / "out", *wrong) == 2
    assert "wanted at least 1 of each" in capsys.readouterr().err


def test_one_bare_mesh_is_drawn_and_never_over_another_scene(meshes, tmp_path, monkeypatch, capsys):
    pytest.importorskip("pybullet", reason="PyBullet is not installed (the render extra)")
    bare = tmp_path / "bare.obj"
    lines = (meshes / "brick/model.obj").read_text().splitlines(keepends=True)
    bare.write_text("".join(line for line in lines if "mtl" not in line))
    arguments = ("--meshes", bare, "--out", tmp_path / "out", "--scenes", 1, "--views", 2, "--size", 96, 128)
    assert run(monkeypatch, *arguments) == 0
    assert "without a texture, and drawn white: bare" in capsys.readouterr().err
    (scene,) = open_scenes(tmp_path / "out")
    assert scene.view(0).color[scene.view(0).mask == 1].std(1).mean() < 10, "gray"
    assert run(monkeypatch, *arguments) == 2
    assert "scene0000: is there already" in capsys.readouterr().err
