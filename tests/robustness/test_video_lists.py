"""Files that name other files or addresses, under a video's name: one VideoError, and nothing they name is read."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from mmcontrast.data.io.video import VideoError
from mmcontrast.data.io.video_file import VideoFile
from tests.robustness.test_videos import recording

HLS = "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:5\n#EXTINF:5.0,\n{}\n#EXT-X-ENDLIST\n"
CONCAT = "ffconcat version 1.0\nfile '{}'\n"
SDP = (
    "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=-\nc=IN IP4 127.0.0.1\nt=0 0\na=control:{}\nm=video 40404 RTP/AVP 96\n"
    "a=rtpmap:96 H264/90000\n"
)
BACKENDS = ["decord", "pyav"]


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """A port of this machine that nobody may knock at."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0)
        yield server


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("suffix", ["mp4", "m3u8", "ffconcat", "sdp", "txt"])
@pytest.mark.parametrize("text", [HLS, CONCAT, SDP], ids=["hls", "concat", "sdp"])
def test_a_list_is_no_video(tmp_path: Path, listener: socket.socket, text: str, suffix: str, backend):
    real = recording(tmp_path / "real.mp4", [0, 1, 2])
    address = f"http://127.0.0.1:{listener.getsockname()[1]}"
    listed = tmp_path / f"video.{suffix}"
    for target in ("/etc/passwd", real.name, str(real), f"file:{real}", f"{address}/real.mp4", f"{address}/real.ts"):
        listed.write_text(text.format(target))
        with pytest.raises(VideoError, match=rf"video\.{suffix}: (is no video|cannot be opened as a video)"):
            VideoFile(listed, backend)[0]
    with pytest.raises(BlockingIOError):
        listener.accept()


def test_a_stream_behind_a_playlist_is_not_taken_for_the_playlist(tmp_path: Path):
    recording(tmp_path / "secret.ts", [i / 25 for i in range(22)])
    stream = recording(tmp_path / "own.ts", [i / 25 for i in range(20)]).read_bytes()
    (tmp_path / "video.mp4").write_bytes(HLS.format("secret.ts").encode() + 3 * stream)
    assert len(VideoFile(tmp_path / "video.mp4", "pyav")) == 60  # three times its own 20, not the 22 of the other file
    with pytest.raises(VideoError, match=r"video\.mp4: decord is used for MP4, .* use 'pyav'"):
        VideoFile(tmp_path / "video.mp4", "decord")


def test_names_with_special_signs_are_files(tmp_path: Path):
    for name in ("concat:a|b.mp4", "frame%02d.mp4", "http:x.mp4", "a #1?.mp4"):
        path = recording(tmp_path / "plain.mp4", [0, 1]).rename(tmp_path / name)
        for backend in BACKENDS:
            assert len(VideoFile(path, backend).read([1])) == 1


def test_a_image_under_a_videos_name_is_refused_with_the_reason(tmp_path: Path):
    from PIL import Image

    Image.new("RGB", (64, 48)).save(tmp_path / "image.png")
    (tmp_path / "image.png").rename(tmp_path / "image.mp4")
    with pytest.raises(VideoError, match=r"image\.mp4: is no video .* single images are not"):
        VideoFile(tmp_path / "image.mp4")
