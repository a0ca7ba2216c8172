import csv
import json

import cv2
import numpy as np
import pytest
from PIL import Image

from mmcontrast.cli import main
from mmcontrast.data.toy_scene import ToyScene, camera_around


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


def test_points_are_found_in_pictures(views, tmp_path, capsys):
    out = tmp_path / "out"
    bad = views / "bad.png"
    bad.write_bytes(b"nothing")
    images = [views / "v0.png", views / "v1.png", bad]
    given = ["--at", "40,30", "--at", "60.5,20", "--image", images[0], "--image", *images[1:]]
    assert run("--reference", views / "v0.png", *given, "--out", out) == 1
    assert json.loads(capsys.readouterr().out) == {"out": str(out), "images": 3, "points": 2, "errors": 1}
    same, _, moved, _, error = rows(out)
    assert (float(same["x"]), float(same["y"])) == pytest.approx((40, 30), abs=0.5)
    assert float(same["distance"]) < 1e-2
    assert 0 <= float(moved["confidence"]) <= 1
    assert np.hypot(float(moved["x"]) - 40, float(moved["y"]) - 30) < 12
    assert "cannot be decoded" in error["error"]
    picture = np.array(Image.open(out / "v1.png"))
    assert picture.shape == (72, 3 * 96 + 12, 3)


def test_points_are_found_in_a_film(views, tmp_path):
    frames = tmp_path / "frames"
    frames.mkdir()
    for i in range(3):
        (views / f"v{i}.png").rename(frames / f"{i:05d}.png")
    out = tmp_path / "out"
    assert run("--reference", frames / "00000.png", "--at", "40,30", "--video", frames, "--out", out) == 0
    assert [row["image"].rpartition("#")[2] for row in rows(out)] == ["0", "1", "2"]
    assert (out / "matches.mp4").stat().st_size > 500


@pytest.mark.parametrize(
    ("at", "message"), [("40", "wanted pixels"), ("a,b", "wanted pixels"), ("400,3", "outside the reference")]
)
def test_points_that_cannot_be_are_refused(views, tmp_path, capsys, at, message):
    picture = views / "v0.png"
    assert run("--reference", picture, "--at", at, "--image", picture, "--out", tmp_path / "out") == 2
    assert message in capsys.readouterr().err
