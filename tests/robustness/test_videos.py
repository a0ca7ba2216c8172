"""Videos with headers that promise too much or frames that are too few: they work, or one VideoError says why not."""

import csv
from collections.abc import Sequence
from pathlib import Path

import av
import numpy as np
import pytest

from mmcontrast.cli.main import main
from mmcontrast.data.io import video_file
from mmcontrast.data.io.video import VideoError, open_video
from mmcontrast.data.io.video_file import VideoFile

HOUR = 3600


def recording(path: Path, stamps: Sequence[float], size: tuple[int, int] = (64, 48), preset: str = "veryfast") -> Path:
    """Gray frames at these seconds."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=1000, options={"preset": preset})
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        for number, stamp in enumerate(stamps):
            pixels = np.full((size[1], size[0], 3), 40 + 10 * number, np.uint8)
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts = round(1000 * stamp)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def track(path: Path, out: Path) -> int:
    common = ["--model", "lab", "--resolution", "48", "--device", "cpu"]
    return main(["predict", "track", "--video", str(path), "--points", "20,20", "--out", str(out), *common])


def rows(out: Path) -> list[dict[str, str]]:
    with (out / "points.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_one_frame(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    path = recording(tmp_path / "one.mp4", [0])
    reader = open_video(path)
    assert (len(reader), reader.fps, list(reader.times)) == (1, 25, [0])
    assert track(path, tmp_path / "out") == 2
    assert "one.mp4: has one frame; tracking needs at least two" in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["ts", "mkv", "mov"])
def test_few_frames_in_other_containers(tmp_path: Path, kind: str):
    path = recording(tmp_path / f"few.{kind}", [0, 0.04, 0.08, 0.12])
    reader = open_video(path)
    means = [frame.mean() for frame in reader]
    assert len(means) == len(reader) == 4
    assert means == sorted(means)
    assert [reader[i].mean() for i in range(len(reader))] == means
    assert track(path, tmp_path / "out") == 0


def test_ten_hours_with_few_frames(tmp_path: Path):
    path = recording(tmp_path / "long.mp4", [0, 1, 10 * HOUR])
    reader = open_video(path)
    assert reader.times.tolist() == [0, 1, 10 * HOUR]
    assert reader.read([2])[0].mean() > reader.read([0])[0].mean()
    assert track(path, tmp_path / "out") == 0
    assert len(rows(tmp_path / "out")) == 3
    assert len(VideoFile(tmp_path / "out" / "overlay.mp4")) == 3


def test_a_header_of_ten_hours_over_a_few_frames(tmp_path: Path):
    data = bytearray(recording(tmp_path / "short.mp4", [0, 0.04, 0.08]).read_bytes())
    for box, offset in ((b"mvhd", 20), (b"mdhd", 20), (b"tkhd", 24)):  # the durations, ISO 14496-12, version 0
        place = data.find(box) + offset
        data[place : place + 4] = (10 * HOUR * 1000).to_bytes(4, "big")
    path = tmp_path / "header.mp4"
    path.write_bytes(data)
    reader = open_video(path)
    assert len(reader) == len(list(reader)) == 3
    assert reader.times[-1] == pytest.approx(0.08)
    assert track(path, tmp_path / "out") == 0


@pytest.mark.slow
def test_a_header_of_8k(tmp_path: Path):
    path = recording(tmp_path / "8k.mp4", [0], (7680, 4320), "ultrafast")
    assert open_video(path)[0].shape == (4320, 7680, 3)
    data = path.read_bytes()
    frames, index = data.find(b"mdat") + 4, data.find(b"moov") - 4
    (tmp_path / "promise.mp4").write_bytes(data[:frames] + bytes(index - frames) + data[index:])
    with pytest.raises(VideoError, match=r"promise\.mp4"):
        open_video(tmp_path / "promise.mp4")


def test_frames_beyond_the_largest_image_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(video_file, "MAX_PIXELS", 2000)
    with pytest.raises(VideoError, match=r"large\.mp4: has frames of 64x48"):
        open_video(recording(tmp_path / "large.mp4", [0]))


def test_a_broken_video_ends_the_command_with_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    for name, data in {"empty.mp4": b"", "text.mp4": b"no video" * 50}.items():
        (tmp_path / name).write_bytes(data)
        assert track(tmp_path / name, tmp_path / "out") == 2
        error = capsys.readouterr().err
        assert name in error
        assert error.count("\n") == 1
