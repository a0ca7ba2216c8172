import csv
import json
import re
import shutil

import av
import cv2
import numpy as np
import pytest

from mmcontrast.cli.main import main
from mmcontrast.data.io.masks import read_mask, write_mask
from mmcontrast.data.io.video_file import VideoFile
from mmcontrast.data.io.video_writer import VideoWriter
from mmcontrast.predict import track_writer

HEIGHT, WIDTH, FRAMES = 97, 129, 6  # odd sizes


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """A video of a bright disc that moves right, as .mp4, with the mask of its first frame."""
    folder = tmp_path_factory.mktemp("clip")
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    ground = (70 + 40 * np.sin(x / 9) * np.cos(y / 7)).astype(np.uint8)
    masks = [((y - 50) ** 2 + (x - 40 - 5 * t) ** 2 < 20**2).astype(np.uint8) for t in range(FRAMES)]
    frames = [np.stack([np.where(m > 0, 210, ground), ground, ground // 2], -1) for m in masks]
    with VideoWriter(folder / "clip.mp4", quality=5) as writer:
        for frame in frames:
            writer.write(frame)
    padded = [np.pad(m, ((0, 1), (0, 1)), mode="edge") for m in masks]  # the writer made the size even
    write_mask(folder / "first.png", padded[0])
    return folder, padded


def run(*arguments: object) -> int:
    return main(["predict", "track", "--model", "lab", "--resolution", "192", *map(str, arguments)])


def test_masks_and_overlay(clip, tmp_path, capsys):
    folder, masks = clip
    assert run("--video", folder / "clip.mp4", "--mask", folder / "first.png", "--out", tmp_path / "out") == 0
    files = sorted((tmp_path / "out" / "masks").iterdir())
    assert [f.name for f in files] == [f"{t:05d}.png" for t in range(FRAMES)]
    last = read_mask(files[-1])
    assert np.logical_and(last, masks[-1]).sum() / np.logical_or(last, masks[-1]).sum() > 0.8
    assert len(VideoFile(tmp_path / "out" / "overlay.mp4")) == FRAMES
    with av.open(str(tmp_path / "out" / "overlay.mp4")) as container:
        assert container.streams.video[0].codec_context.name == "h264"
    summary = json.loads(capsys.readouterr().out)
    assert summary["counts"] == {"frames": FRAMES, "errors": 0}
    assert summary["metrics"]["seconds_per_frame"] > 0


def test_points(clip, tmp_path):
    folder, _ = clip
    what = ("--points", "40,50", "--points", "25,50", "--no-overlay")
    assert run("--video", folder / "clip.mp4", *what, "--out", tmp_path) == 0
    with (tmp_path / "points.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["frame", "id", "x", "y", "confidence", "visible", "time"]
    assert [(int(r["frame"]), int(r["id"])) for r in rows] == [(t, i) for t in range(FRAMES) for i in range(2)]
    assert (float(rows[0]["x"]), float(rows[0]["y"]), rows[0]["visible"]) == (40, 50, "1")
    assert abs(float(rows[-1]["x"]) - 50) < 5
    assert [float(r["time"]) for r in rows[::2]] == pytest.approx([t / 25 for t in range(FRAMES)], abs=1e-3)
    assert not (tmp_path / "overlay.mp4").exists()


def test_colors(clip, tmp_path):
    folder, _ = clip
    assert run("--video", folder / "clip.mp4", "--colors", "--out", tmp_path) == 0
    video = VideoFile(tmp_path / "colors.mp4")
    assert len(video) == FRAMES
    assert np.ptp(video[-1].astype(int), axis=2).mean() > 20


def test_a_cut_off_video_is_tracked_as_far_as_it_goes(tmp_path, capsys):
    noisy = np.random.default_rng(0).integers(0, 255, (30, 64, 64, 3), dtype=np.uint8)
    with VideoWriter(tmp_path / "noise.mp4") as writer:
        for frame in noisy:
            writer.write(frame)
    data = (tmp_path / "noise.mp4").read_bytes()
    (tmp_path / "cut.mp4").write_bytes(data[: len(data) // 2])
    assert run("--video", tmp_path / "cut.mp4", "--points", "9,9", "--out", tmp_path / "out") == 1
    captured = capsys.readouterr()
    done = json.loads(captured.out)["counts"]["frames"]
    assert 2 < done < 30
    assert f"{done} of 30 frames" in captured.err


def test_a_video_is_never_written_over(clip, tmp_path, capsys):
    folder, _ = clip
    for name, what in (("overlay.mp4", ("--points", "9,9")), ("colors.mp4", ("--colors",))):
        shutil.copy(folder / "clip.mp4", tmp_path / name)
        before = (tmp_path / name).read_bytes()
        assert run("--video", tmp_path / name, *what, "--out", tmp_path) == 2
        assert re.search(f"would be written over .*{name}", capsys.readouterr().err)
        assert (tmp_path / name).read_bytes() == before


def test_masks_of_several_frames(clip, tmp_path, capsys):
    folder, masks = clip
    last = FRAMES - 1
    write_mask(tmp_path / "last.png", masks[last])
    given = ("--video", folder / "clip.mp4", "--out", tmp_path / "out", "--mask", f"{last}={tmp_path / 'last.png'}")
    assert run(*given) == 0
    first = read_mask(tmp_path / "out" / "masks" / "00000.png")
    assert np.logical_and(first, masks[0]).sum() / np.logical_or(first, masks[0]).sum() > 0.8
    assert (read_mask(tmp_path / "out" / "masks" / f"{last:05d}.png") == masks[last]).all()
    assert len(VideoFile(tmp_path / "out" / "overlay.mp4")) == FRAMES
    assert run(*given, "--overwrite", "--mask", folder / "first.png") == 0
    assert (read_mask(tmp_path / "out" / "masks" / "00000.png") == masks[0]).all()
    assert run(*given, "--overwrite", "--mask", f"{last}={folder / 'first.png'}") == 2
    assert f"frame {last} has a mask already" in capsys.readouterr().err
    assert run(*given, "--overwrite", "--mask", f"{FRAMES}={folder / 'first.png'}") == 2
    assert f"mask of frame {FRAMES}" in capsys.readouterr().err


def test_mistakes_have_one_sentence(clip, tmp_path, capsys):
    folder, _ = clip
    write_mask(tmp_path / "small.png", np.ones((5, 7), np.uint8))
    (tmp_path / "empty.mp4").touch()
    video = ("--video", folder / "clip.mp4", "--out", tmp_path / "out")
    cases = [
        ((*video, "--mask", tmp_path / "small.png"), r"small\.png: is 7x5, the video is 130x98"),
        ((*video, "--mask", tmp_path / "none.png"), r"none\.png: no such file"),
        ((*video, "--points", "1,2,3"), "wanted pairs"),
        ((*video, "--points", "a,b"), "wanted pairs"),
        ((*video, "--points", "500,2"), "500,2; x goes to 129"),
        ((*video, "--points", "5,2", "--color-frame", "x.png"), "--colors"),
        ((*video, "--colors", "--color-frame", tmp_path / "small.png"), r"small\.png: is 7x5, the video is 130x98"),
        ((*video, "--colors", "--color-frame", tmp_path / "none.png"), r"none\.png: no such file"),
        (("--video", tmp_path / "empty.mp4", "--out", tmp_path, "--points", "1,1"), r"empty\.mp4: is empty"),
        (("--video", folder / "clip.mp4", "--out", folder / "first.png" / "x", "--points", "1,1"), "cannot be written"),
        ((*video[:2], "--out", "/proc", "--points", "5,2"), r"--out /proc: cannot be written"),
    ]
    for arguments, message in cases:
        assert run(*arguments) == 2
        error = capsys.readouterr().err
        assert re.search(message, error)
        assert len(error.splitlines()) == 1
    assert not [path for path in (tmp_path / "out").iterdir() if path.is_file()]


def test_results_of_two_runs_are_never_mixed(clip, tmp_path, capsys):
    folder, _ = clip
    short = tmp_path / "short"
    short.mkdir()
    for number in range(3):
        cv2.imwrite(str(short / f"{number}.png"), VideoFile(folder / "clip.mp4")[number][..., ::-1])
    out = tmp_path / "out"
    first = ("--mask", folder / "first.png", "--out", out)
    assert run("--video", folder / "clip.mp4", *first) == 0
    (out / "notes.txt").write_text("mine")
    assert run("--video", short, *first) == 2
    assert "holds the results of an earlier run; add --overwrite" in capsys.readouterr().err
    assert len(list((out / "masks").iterdir())) == FRAMES
    assert run("--video", short, *first, "--no-overlay", "--overwrite") == 0
    assert len(list((out / "masks").iterdir())) == 3
    assert not (out / "overlay.mp4").exists()
    assert (out / "notes.txt").read_text() == "mine"


def test_ctrl_c_keeps_what_was_written(clip, tmp_path, capsys, monkeypatch):
    def write_three(path, ids):
        if path.stem == "00003":
            raise KeyboardInterrupt
        write_mask(path, ids)

    monkeypatch.setattr(track_writer, "write_mask", write_three)
    given = ["--video", clip[0] / "clip.mp4", "--mask", clip[0] / "first.png", "--out", tmp_path]
    assert main(["predict", "track", "--model", "lab", "--resolution", "192", *map(str, given)]) == 130
    assert capsys.readouterr().err == "mmcontrast: interrupted\n"
    assert len(list((tmp_path / "masks").iterdir())) == len(VideoFile(tmp_path / "overlay.mp4")) == 3
