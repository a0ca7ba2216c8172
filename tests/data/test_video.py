import importlib.util
import multiprocessing
import os
import pickle
import struct
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from mmcontrast.data.io.video import FrameArray, FrameFolder, VideoError, open_video
from mmcontrast.data.io.video_file import VideoFile
from mmcontrast.data.io.video_writer import VideoWriter
from mmcontrast.errors import InputError

BACKENDS = ["decord", "pyav"]


def scene(frames: int = 30, height: int = 96, width: int = 128) -> np.ndarray:
    """A smooth image of weak colors that moves 3 pixels a frame: neighbors differ by 9 gray levels."""
    generator = np.random.default_rng(0)
    gray = generator.integers(30, 220, (height // 12, width // 12, 1), dtype=np.uint8)
    base = np.clip(gray + generator.integers(-15, 15, (*gray.shape[:2], 3)), 0, 255).astype(np.uint8)
    base = cv2.resize(base, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.stack([np.roll(base, 3 * t, 1) for t in range(frames)])


@pytest.fixture(scope="module")
def recording(tmp_path_factory) -> tuple[Path, np.ndarray]:
    frames = scene()
    path = tmp_path_factory.mktemp("video") / "video.mp4"
    with VideoWriter(path, fps=24, quality=10) as writer:
        for frame in frames:
            writer.write(frame)
    return path, frames


def difference(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.abs(a.astype(int) - b).mean())


def rotated(path: Path, degrees: int, folder: Path) -> Path:
    """The same file with a rotation in its track header (ISO 14496-12, 8.3.2)."""
    data = bytearray(path.read_bytes())
    matrix = data.find(b"tkhd") + 44
    one = 1 << 16
    a, b, c, d = {90: (0, one, -one, 0), 180: (-one, 0, 0, -one), 270: (0, -one, one, 0)}[degrees]
    data[matrix : matrix + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    (folder / "rotated.mp4").write_bytes(data)
    return folder / "rotated.mp4"


def variable(folder: Path) -> tuple[Path, list[int]]:
    """A video with uneven milliseconds between frames."""
    stamps = [0, 40, 45, 200, 210, 500, 900, 930, 1000, 2000]
    path = folder / "variable.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=1000)
        stream.width, stream.height, stream.pix_fmt = 128, 96, "yuv420p"
        for stamp, pixels in zip(stamps, scene(10), strict=True):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts = stamp
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path, stamps


@pytest.mark.parametrize("backend", BACKENDS)
def test_reads_what_was_written(recording, backend):
    path, frames = recording
    video = VideoFile(path, backend)
    assert (len(video), video.height, video.width) == (30, 96, 128)
    assert video.fps == pytest.approx(24)
    order = [17, 3, 29, 3, -1, 0]
    got = video.read(order)
    assert difference(got, frames[order]) < 3
    assert (got[1] == got[3]).all()
    assert (got[2] == got[4]).all()
    assert all((a == b).all() for a, b in zip(video, video.read(range(30)), strict=True))


def test_backends_give_the_same_frames(recording, tmp_path):
    for path in (recording[0], variable(tmp_path)[0], rotated(recording[0], 90, tmp_path)):
        one, other = (VideoFile(path, backend) for backend in BACKENDS)
        indices = [len(one) - 1, 0, len(one) // 2, 5]
        assert difference(one.read(indices), other.read(indices)) <= 1


@pytest.mark.parametrize("name", ["flower", "monster", "bottle-detection"])
def test_backends_agree_on_real_videos(name, test_data):
    path = test_data(f"video/mp4/{name}.mp4")
    one, other = (VideoFile(path, backend) for backend in BACKENDS)
    assert len(one) == {"flower": 150, "monster": 220, "bottle-detection": 1189}[name]
    indices = np.linspace(len(one) - 1, 0, 9, dtype=int).tolist()
    assert difference(one.read(indices), other.read(indices)) <= 1


def test_videos_of_an_installed_package_read_alike():
    folder = Path(importlib.util.find_spec("gradio").origin).parent / "media_assets" / "videos"
    for path in (folder / "b.mp4", folder / "world.mp4"):
        one, other = (VideoFile(path, backend) for backend in BACKENDS)
        assert difference(one.read([100, 3, 50]), other.read([100, 3, 50])) <= 1


@pytest.mark.parametrize(("degrees", "turns"), [(90, -1), (180, 2), (270, 1)])
@pytest.mark.parametrize("backend", BACKENDS)
def test_rotation_is_applied(recording, tmp_path, degrees, turns, backend):
    video = VideoFile(rotated(recording[0], degrees, tmp_path), backend)
    upright = np.rot90(recording[1][4], turns)
    assert (video.height, video.width) == upright.shape[:2]
    assert difference(video[4], upright) < 3
    assert next(iter(video)).shape == upright.shape


@pytest.mark.parametrize("backend", BACKENDS)
def test_variable_frame_rate_keeps_its_time_stamps(tmp_path, backend):
    path, stamps = variable(tmp_path)
    video = VideoFile(path, backend)
    assert np.allclose(video.times, np.array(stamps) / 1000)
    assert difference(video.read([9, 4]), scene(10)[[9, 4]]) < 4


def test_random_access_decodes_each_frame_once_and_seeks(recording, monkeypatch):
    video = VideoFile(recording[0], "pyav")
    starts = []
    collect = VideoFile._collect
    monkeypatch.setattr(VideoFile, "_collect", lambda self, c, at, of: starts.append(at) or collect(self, c, at, of))
    video.read([29, 3, 3, 29, 10])
    assert starts == [0]


def _mean_in_child(video, queue):
    queue.put((os.getpid(), float(video.read([5, 20]).mean())))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_reader_survives_forks_and_pickles(recording, backend):
    video = VideoFile(recording[0], backend)
    wanted = float(video.read([5, 20]).mean())  # opened here, before the fork
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    child = context.Process(target=_mean_in_child, args=(video, queue))
    child.start()
    pid, mean = queue.get(timeout=30)
    child.join(10)
    assert pid != os.getpid()
    assert mean == wanted
    assert float(pickle.loads(pickle.dumps(video)).read([5, 20]).mean()) == wanted


@pytest.fixture(scope="module")
def heavy(tmp_path_factory) -> tuple[bytes, np.ndarray]:
    """A noisy video, whose bytes are spread over all its frames."""
    frames = (scene() + np.random.default_rng(1).integers(-25, 25, scene().shape)).clip(0, 255).astype(np.uint8)
    path = tmp_path_factory.mktemp("video") / "heavy.mp4"
    with VideoWriter(path, fps=24, quality=10) as writer:
        for frame in frames:
            writer.write(frame)
    return path.read_bytes(), frames


def test_a_cut_off_video_keeps_what_is_there(heavy, tmp_path):
    data = heavy[0]
    assert data.find(b"moov") < data.find(b"mdat")
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(data[: len(data) * 2 // 3])
    video = VideoFile(cut)
    frames = list(video)
    assert 10 < len(video) < 30
    assert len(frames) == len(video)
    assert difference(frames[5], heavy[1][5]) < 12
    assert f"{len(video)} of 30 frames" in video.problem
    assert "cut.mp4" in video.problem
    assert (video.read([5])[0] == frames[5]).all()


def test_a_damaged_middle_keeps_the_rest_in_place(heavy, tmp_path):
    data = bytearray(heavy[0])
    middle = len(data) // 2
    data[middle : middle + 20_000] = bytes(20_000)
    (tmp_path / "damaged.mp4").write_bytes(data)
    video = VideoFile(tmp_path / "damaged.mp4", "pyav")
    frames = list(video)
    assert len(frames) == len(video) == 30
    assert difference(frames[2], heavy[1][2]) < 12
    assert f"{30}" in video.problem


def silent(path: Path) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=8000, layout="mono")
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        sound.sample_rate = 8000
        container.mux(stream.encode(sound))
        container.mux(stream.encode())


def test_files_that_are_no_video(recording, tmp_path):
    cases = {"empty.mp4": b"", "text.mp4": b"hello " * 100, "stub.mp4": recording[0].read_bytes()[:600]}
    for name, content in cases.items():
        (tmp_path / name).write_bytes(content)
    silent(tmp_path / "sound.mp4")
    (tmp_path / "folder").mkdir()
    reasons = {"empty.mp4": "0 bytes", "text.mp4": "cannot be opened", "stub.mp4": "stub", "sound.mp4": "only audio",
               "folder": "no images", "nowhere.mp4": "no such file"}  # fmt: skip
    for name, reason in reasons.items():
        with pytest.raises(VideoError, match=reason) as caught:
            open_video(tmp_path / name)
        assert name in str(caught.value)
    with pytest.raises(InputError, match="backend"):
        VideoFile(recording[0], "opencv")


def test_folders_and_arrays_are_videos_too(tmp_path):
    frames = scene(12)
    for t, frame in enumerate(frames):
        cv2.imwrite(str(tmp_path / f"frame_{t}.png"), frame[..., ::-1])
    folder, array = open_video(tmp_path), open_video(frames)
    assert isinstance(folder, FrameFolder)
    assert isinstance(array, FrameArray)
    assert (folder.read([11, 2]) == frames[[11, 2]]).all()
    assert (np.stack(list(array)) == frames).all()
    with pytest.raises(IndexError, match="12 frames"):
        folder[12]
    cv2.imwrite(str(tmp_path / "frame_12.png"), frames[0][:50])
    with pytest.raises(VideoError, match=r"frame_12.*128x50"):
        list(open_video(tmp_path))
    with pytest.raises(VideoError, match="wanted"):
        open_video(frames.astype(float))


def test_odd_sizes_are_written_and_play(tmp_path):
    frames = scene(5)[:, :95, :127]
    with VideoWriter(tmp_path / "odd.mp4", fps=29.97, quality=10) as writer:
        for frame in frames:
            writer.write(frame)
        with pytest.raises(VideoError, match="frame 5 is 20x20"):
            writer.write(frame[:20, :20])
    video = VideoFile(tmp_path / "odd.mp4")
    assert (video.height, video.width, len(video)) == (96, 128, 5)
    assert difference(video[3][:95, :127], frames[3]) < 3
    with av.open(str(tmp_path / "odd.mp4")) as container:
        codec = container.streams.video[0].codec_context
        assert (codec.name, codec.pix_fmt) == ("h264", "yuv420p")
