import csv
import json

import cv2
import numpy as np
import pytest
from PIL import Image

from mmcontrast.cli.main import main
from mmcontrast.data.datasets.toy_scene import ToyScene, camera_around
from mmcontrast.data.io.video_writer import VideoWriter


@pytest.fixture
def views(tmp_path):
    for i in range(3):
        view = ToyScene(3).view(camera_around(0.02 * i), (72, 96))
        cv2.imwrite(str(tmp_path / f"v{i}.png"), view.color[..., ::-1])
    return tmp_path


def rows(out):
    with (out / "matches.csv").open() as file:
        return list(csv.DictReader(file))


def run(*arguments):
    return main(["predict", "match", "--model", "lab", *map(str, arguments)])


def test_points_are_found_in_images(views, tmp_path, capsys):
    out = tmp_path / "out"
    bad = views / "bad.png"
    bad.write_bytes(b"nothing")
    images = [views / "v0.png", views / "v1.png", bad]
    given = ["--points", "40,30", "--points", "60.5,20", *images]
    assert run("--reference", views / "v0.png", *given, "--out", out) == 1
    printed = capsys.readouterr()
    assert json.loads(printed.out)["counts"] == {"images": 3, "points": 2, "errors": 1}
    assert f"1 of 3 files could not be read; see the error column of {out / 'matches.csv'}" in printed.err
    same, _, moved, _, error = rows(out)
    assert (float(same["x"]), float(same["y"])) == pytest.approx((40, 30), abs=0.5)
    assert float(same["distance"]) < 1e-2
    assert 0 <= float(moved["confidence"]) <= 1
    assert np.hypot(float(moved["x"]) - 40, float(moved["y"]) - 30) < 12
    assert error["error"].startswith("cannot be decoded")
    image = np.array(Image.open(out / "v1.png"))
    assert image.shape == (72, 3 * 96 + 12, 3)


def test_points_are_found_in_a_video(views, tmp_path):
    frames = tmp_path / "frames"
    frames.mkdir()
    for i in range(3):
        (views / f"v{i}.png").rename(frames / f"{i:05d}.png")
    out = tmp_path / "out"
    assert run("--reference", frames / "00000.png", "--points", "40,30", "--video", frames, "--out", out) == 0
    assert [row["image"].rpartition("#")[2] for row in rows(out)] == ["0", "1", "2"]
    assert (out / "matches.mp4").stat().st_size > 500


@pytest.mark.parametrize(
    ("at", "message"),
    [("40", "wanted pairs"), (";", "wanted pairs"), ("a,b", "wanted pairs"), ("400,3", "outside the reference")],
)
def test_points_that_cannot_be_are_refused(views, tmp_path, capsys, at, message):
    image = views / "v0.png"
    assert run("--reference", image, "--points", at, image, "--out", tmp_path / "out") == 2
    assert message in capsys.readouterr().err


def test_no_image_that_was_given_is_overwritten(views):
    images = [views / f"v{i}.png" for i in range(3)]
    given = [path.read_bytes() for path in images]
    assert run("--reference", images[0], "--points", "40,30", *images[1:], "--out", views) == 0
    assert [path.read_bytes() for path in images] == given
    assert np.array(Image.open(views / "v1_.png")).shape == (72, 3 * 96 + 12, 3)
    assert (views / "v2_.png").exists()


def test_what_cannot_be_looked_in_is_refused_before_anything_is_written(views, tmp_path, capsys):
    (views / "none").mkdir()
    image, out = views / "v0.png", tmp_path / "out"
    for where, message in (
        ((views / "none",), f"no images in {views / 'none'}"),
        (("--video", views / "no.mp4"), "no.mp4: no such file"),
        ((image, "--resolution", "0"), "--resolution"),
    ):
        assert run("--reference", image, "--points", "40,30;", *where, "--out", out) == 2
        assert message in capsys.readouterr().err
    assert not out.exists()


def test_a_video_that_ends_early_is_told(views, tmp_path, capsys):
    frames = np.random.default_rng(0).integers(0, 255, (20, 72, 96, 3), dtype=np.uint8)
    with VideoWriter(tmp_path / "video.mp4", fps=10, quality=10) as writer:
        for frame in frames:
            writer.write(frame)
    data = (tmp_path / "video.mp4").read_bytes()
    (tmp_path / "video.mp4").write_bytes(data[: len(data) * 2 // 3])
    out = tmp_path / "out"
    points = ("--reference", views / "v0.png", "--points", "40,30")
    assert run(*points, "--video", tmp_path / "video.mp4", "--out", out) == 1
    assert "of 20 frames are there" in capsys.readouterr().err
    assert 5 < len(rows(out)) < 20
    video = out / "matches.mp4"
    assert run(*points, "--video", video, "--out", out) == 2
    assert "would be written over" in capsys.readouterr().err
