"""Frame n of a video is the n-th that FFmpeg gives, by iteration and by index alike, whatever holds the video."""

from pathlib import Path

import numpy as np
import pytest

from mmcontrast.data.io.video import VideoError
from mmcontrast.data.io.video_file import VideoFile
from tests.data.video_corpus import (
    COUNT,
    ENCODINGS,
    FRAMES,
    encode,
    ffmpeg,
    ffmpeg_numbers,
    frame_numbers,
)


def check_frames(path: Path, numbers: list[int]) -> VideoFile:
    """Compares iteration with the numbers, and single and joint reading by index with iteration."""
    video = VideoFile(path)
    frames = list(video)
    assert frame_numbers(frames) == numbers
    assert len(video) == len(frames)
    assert (np.diff(video.times) > 0).all()
    again = VideoFile(path)  # with no frame read yet
    for index in [0, -1, *np.random.default_rng(0).integers(len(frames), size=8).tolist()]:
        assert (again[index] == frames[index]).all(), index
    assert (again.read(range(len(frames))) == np.stack(frames)).all()
    return video


@pytest.mark.parametrize("name", ENCODINGS)
def test_every_container_gives_each_frame_once(tmp_path, name):
    video = check_frames(encode(tmp_path / name), [*range(COUNT)])
    assert video.problem is None
    assert video.times[-1] == pytest.approx((COUNT - 1) / 25, abs=0.02)


@pytest.mark.parametrize("name", [name for name in ENCODINGS if name.endswith((".mp4", ".mov", ".mkv", ".webm"))])
def test_decord_gives_the_same_frames_or_refuses(tmp_path, name):
    path = encode(tmp_path / name)
    try:
        video = VideoFile(path, "decord")
        frames = list(video)
    except VideoError as error:
        refusal = str(error)
    else:
        refusal = None
    if refusal is not None:
        assert "use 'pyav'" in refusal
        assert name not in ("h264.mp4", "h264.mov", "h264.mkv")
        return
    assert all((a == b).all() for a, b in zip(frames, VideoFile(path), strict=True))
    assert (video.read([COUNT - 1, 0, 17]) == np.stack(frames)[[COUNT - 1, 0, 17]]).all()


@pytest.mark.parametrize("name", ["h264.ts", "hevc.ts", "mpeg2.ts", "mpeg2.mpg", "h264.mpg", "mpeg2.vob"])
def test_joined_recordings_give_the_frames_of_both(tmp_path, name):
    path = encode(tmp_path / name)
    path.write_bytes(2 * path.read_bytes())
    video = check_frames(path, 2 * [*range(COUNT)])
    assert video.problem is None
    assert not video.times_known


@pytest.mark.parametrize("name", ["h264.ts", "hevc.ts", "mpeg2.ts"])
@pytest.mark.parametrize("part", [0.25, 0.5, 0.75])
def test_a_lost_packet_is_told_and_the_rest_is_read(tmp_path, name, part):
    path = encode(tmp_path / name)
    data = path.read_bytes()
    at = 188 * int(len(data) // 188 * part)
    path.write_bytes(data[:at] + data[at + 188 :])
    video = VideoFile(path)
    frames = list(video)
    assert len(frames) == len(video) >= len(ffmpeg_numbers(path)) - 2
    assert frame_numbers(frames[-1:])[0] >= COUNT - 4  # a decoder may repeat a frame that came shortly before
    assert len(frames) == COUNT or "damaged" in str(video.problem)
    again = VideoFile(path)
    assert all((again[i] == frames[i]).all() for i in range(0, len(frames), 3))


@pytest.mark.parametrize("name", ["h264.ts", "open_gop.ts", "mpeg2.mpg", "hevc.ts"])
def test_a_recording_that_begins_in_the_middle(tmp_path, name):
    path = encode(tmp_path / name)
    data = path.read_bytes()
    path.write_bytes(data[188 * (len(data) // 188 // 3) :])
    numbers = ffmpeg_numbers(path)
    assert 0 < len(numbers) < COUNT
    check_frames(path, numbers)


@pytest.mark.parametrize("kind", ["mp4", "mov", "mkv", "ts"])
def test_a_losslessly_cut_video_is_complete(tmp_path, kind):
    whole = encode(tmp_path / f"h264.{kind}")
    ffmpeg("-ss", "0.3", "-i", whole, "-t", "0.9", "-c", "copy", tmp_path / f"cut.{kind}")
    video = check_frames(tmp_path / f"cut.{kind}", ffmpeg_numbers(tmp_path / f"cut.{kind}"))
    assert video.problem is None


@pytest.mark.parametrize("kind", ["mkv", "mp4", "ts"])
def test_times_below_zero(tmp_path, kind):
    options = ["-c", "copy", "-avoid_negative_ts", "disabled", "-output_ts_offset", "-0.5"]
    ffmpeg("-i", encode(tmp_path / "h264.mp4"), *options, tmp_path / f"early.{kind}")
    video = check_frames(tmp_path / f"early.{kind}", ffmpeg_numbers(tmp_path / f"early.{kind}"))
    assert video.problem is None


@pytest.mark.parametrize("name", ["h264.mkv", "h264.avi", "mpeg2.mpg", "vp9.webm"])
def test_a_missing_end_is_told(tmp_path, name):
    path = encode(tmp_path / name)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    video = VideoFile(path)
    frames = list(video)
    assert 5 < len(frames) == len(video) < COUNT
    assert video.problem
    assert path.name in video.problem


@pytest.mark.parametrize("flip", [[], ["-display_hflip"], ["-display_vflip"]])
@pytest.mark.parametrize("degrees", ["0", "90", "180", "270"])
def test_frames_are_turned_and_mirrored_as_the_file_says(tmp_path, degrees, flip):
    whole = encode(tmp_path / "h264.mp4")
    path = tmp_path / "turned.mp4"
    ffmpeg("-display_rotation", degrees, *flip, "-i", whole, "-c", "copy", path)
    video = VideoFile(path)
    raw = np.frombuffer(ffmpeg("-i", path, "-f", "rawvideo", "-pix_fmt", "rgb24", "-"), np.uint8)
    upright = raw.reshape(-1, video.height, video.width, 3)
    assert np.abs(video[7].astype(int) - upright[7]).mean() < 2
    assert np.abs(FRAMES[7].astype(int) - FRAMES[7][:, ::-1]).mean() > 10


def test_tags_that_are_not_utf_8_do_not_matter(tmp_path):
    whole = encode(tmp_path / "h264.mp4")
    for kind in ("mp4", "avi", "mkv", "mov"):
        path = tmp_path / f"tagged.{kind}"
        ffmpeg("-i", whole, "-c", "copy", "-metadata", "title=Caf#", path)
        path.write_bytes(path.read_bytes().replace(b"Caf#", b"Caf\xe9"))
        assert len(VideoFile(path)) == COUNT


@pytest.mark.parametrize("backend", ["pyav", "decord"])
@pytest.mark.parametrize("name", ["h264.mp4", "h264.mkv", "h264.avi", "h264.ts", "mpeg2.mpg", "vp8.ivf"])
def test_a_damaged_video_raises_nothing_but_a_video_error(tmp_path, name, backend):
    if backend == "decord" and not name.endswith((".mp4", ".mkv")):
        pytest.skip("decord does not get this container")
    path = encode(tmp_path / name)
    data = np.frombuffer(path.read_bytes(), np.uint8)
    for seed in range(8):
        generator = np.random.default_rng(seed)
        mutated = data.copy()
        region = 2000 if seed % 2 else len(data)  # half of them hurt the header only
        positions = generator.integers(0, min(region, len(data)), 8)
        mutated[positions] = generator.integers(0, 256, len(positions))
        path.write_bytes(mutated.tobytes())
        try:
            video = VideoFile(path, backend)
            assert sum(1 for _ in video) == len(video)
            video.read([0, len(video) - 1])
        except VideoError:
            continue
