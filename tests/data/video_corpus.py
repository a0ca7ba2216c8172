"""Videos of many containers and codecs, made by FFmpeg from one panning camera, whose frames are told apart."""

import subprocess
from collections.abc import Iterable
from pathlib import Path

import cv2
import imageio_ffmpeg
import numpy as np
import numpy.typing as npt

HEIGHT, WIDTH, COUNT = 96, 128, 36
_GRID = np.random.default_rng(0).integers(30, 220, (8, 32, 3), np.uint8)
_WIDE = cv2.resize(_GRID, (512, HEIGHT), interpolation=cv2.INTER_CUBIC)
FRAMES = np.stack([_WIDE[:, 3 * t : 3 * t + WIDTH] for t in range(COUNT)])

_X264 = ["-c:v", "libx264", "-crf", "12", "-pix_fmt", "yuv420p", "-bf", "3", "-g", "12"]
_OPEN = [*_X264, "-x264-params", "open-gop=1:b-adapt=0:scenecut=0"]
_REFRESH = [*_X264, "-g", "250", "-x264-params", "intra-refresh=1:keyint=12"]
_X265 = ["-c:v", "libx265", "-crf", "12", "-pix_fmt", "yuv420p", "-x265-params", "keyint=12:log-level=error"]
_MPEG2 = ["-c:v", "mpeg2video", "-q:v", "2", "-bf", "2", "-g", "12"]
_MPEG4 = ["-c:v", "mpeg4", "-q:v", "2", "-bf", "2", "-g", "12"]
_VP8 = ["-c:v", "libvpx", "-b:v", "1M", "-auto-alt-ref", "1", "-lag-in-frames", "16", "-cpu-used", "5"]
_VP9 = ["-c:v", "libvpx-vp9", "-b:v", "1M", "-g", "12", "-cpu-used", "8", "-deadline", "realtime"]
ENCODINGS = {
    **{f"h264.{kind}": _X264 for kind in ("mp4", "mov", "mkv", "avi", "ts", "m2ts", "mpg", "flv", "nut", "mxf", "asf")},
    **{f"open_gop.{kind}": _OPEN for kind in ("mp4", "mkv", "avi", "ts")},
    **{f"refresh.{kind}": _REFRESH for kind in ("mp4", "ts")},
    **{f"hevc.{kind}": _X265 for kind in ("mp4", "mkv", "ts")},
    **{f"mpeg2.{kind}": _MPEG2 for kind in ("ts", "mpg", "vob", "m2v", "mkv", "avi")},
    **{f"mpeg4.{kind}": _MPEG4 for kind in ("avi", "mp4", "mkv")},
    **{f"vp8.{kind}": _VP8 for kind in ("ivf", "webm")},
    **{f"vp9.{kind}": _VP9 for kind in ("ivf", "webm", "mp4")},
    "interlaced.ts": [*_X264, "-flags", "+ilme+ildct"],
    "wmv2.wmv": ["-c:v", "wmv2", "-q:v", "2", "-g", "12"],
    "mjpeg.avi": ["-c:v", "mjpeg", "-q:v", "2", "-pix_fmt", "yuvj420p"],
    "theora.ogv": ["-c:v", "libtheora", "-q:v", "9", "-g", "12", "-pix_fmt", "yuv420p"],
    "colors.gif": [],
}


def ffmpeg(*arguments: str | Path, data: bytes = b"") -> bytes:
    """Runs FFmpeg and returns its standard output."""
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-y", "-loglevel", "error", *map(str, arguments)]
    return subprocess.run(command, input=data, capture_output=True, check=True).stdout


def encode(path: Path) -> Path:
    """Writes ``FRAMES`` in the encoding of the file's name."""
    raw = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{WIDTH}x{HEIGHT}", "-r", "25", "-i", "-"]
    ffmpeg(*raw, *ENCODINGS[path.name], path, data=FRAMES.tobytes())
    return path


def frame_numbers(frames: Iterable[npt.NDArray[np.uint8]]) -> list[int]:
    """Returns which of ``FRAMES`` each frame shows."""
    small = FRAMES[:, ::8, ::4].astype(int)
    return [int(np.abs(small - frame[::8, ::4]).mean((1, 2, 3)).argmin()) for frame in frames]


def ffmpeg_numbers(path: Path) -> list[int]:
    """Returns which of ``FRAMES`` the frames show that FFmpeg decodes."""
    raw = ffmpeg("-i", path, "-map", "0:v:0", "-fps_mode", "passthrough", "-f", "rawvideo", "-pix_fmt", "rgb24", "-")
    return frame_numbers(np.frombuffer(raw, np.uint8).reshape(-1, HEIGHT, WIDTH, 3))
