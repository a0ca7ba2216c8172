import av
import numpy as np
import pytest
from PIL import Image

from mmcontrast.data.io.video import VideoError
from mmcontrast.inference import bounded


def write_video(path, frames=10, size=(64, 48), codec="mpeg4", rate=25, **options):
    with av.open(str(path), "w", **options) as container:
        stream = container.add_stream(codec, rate)
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        for number in range(frames):
            image = np.full((size[1], size[0], 3), 20 * (number % 10), np.uint8)
            for packet in stream.encode(av.VideoFrame.from_ndarray(image)):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    return path


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("a.mp4", "mpeg4"),
        ("a.avi", "mpeg4"),
        ("a.mkv", "mpeg4"),
        ("a.mpg", "mpeg1video"),
        ("a.wmv", "wmv2"),
        ("a.flv", "flv1"),
    ],
)
def test_the_containers_of_the_library_are_taken(tmp_path, name, codec):
    try:
        path = write_video(tmp_path / name, codec=codec)
    except (av.FFmpegError, ValueError):
        pytest.skip(f"this FFmpeg writes no {codec}")
    assert len(bounded.open_recording(path)) == 10


def test_what_costs_too_much_is_refused_by_its_header(tmp_path):
    with pytest.raises(VideoError, match="takes 130 s"):
        bounded.open_recording(write_video(tmp_path / "long.mp4", 130, rate=1))
    with pytest.raises(VideoError, match="3100 frames"):
        bounded.open_recording(write_video(tmp_path / "many.mp4", 3100, (16, 16), rate=60))
    with pytest.raises(VideoError, match="4000x2200"):
        bounded.open_recording(write_video(tmp_path / "large.mp4", 1, (4000, 2200)))
    with pytest.raises(VideoError, match="1024x16"):
        bounded.open_recording(write_video(tmp_path / "narrow.mp4", 1, (1024, 16)))


@pytest.mark.parametrize(
    "content", [b"", b"no video", b"ffconcat version 1.0\nfile a.mp4\n", b"#EXTM3U\n#EXTINF:1,\na.mp4\n"]
)
def test_other_files_are_no_videos(tmp_path, content):
    write_video(tmp_path / "a.mp4")
    (tmp_path / "b.mp4").write_bytes(content)
    with pytest.raises(VideoError, match=r"b\.mp4"):
        bounded.open_recording(tmp_path / "b.mp4")


def test_large_images_are_shrunk(tmp_path):
    Image.new("RGB", (300, 100)).save(tmp_path / "a.png")
    assert bounded.read_image(tmp_path / "a.png").shape == (100, 300, 3)
    assert bounded.read_image(tmp_path / "a.png", 150).shape == (50, 150, 3)
    assert bounded.read_image(tmp_path / "a.png", 1000).shape == (100, 300, 3)
