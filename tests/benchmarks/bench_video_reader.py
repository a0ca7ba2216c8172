"""Random access to frames of a video: our reader through decord and PyAV beside decord, PyAV and OpenCV themselves.

python tests/benchmarks/bench_video_reader.py [VIDEO.mp4]
"""

import importlib.util
import platform
import sys
import time
from collections.abc import Callable
from pathlib import Path

import av
import cv2
import decord
import numpy as np
import torch

from mmcontrast.data.io.video_file import VideoFile

COUNT, REPEATS = 32, 5


def plain_decord(path: Path, indices: list[int]) -> np.ndarray:
    """As its README shows it."""
    return decord.VideoReader(str(path), num_threads=1).get_batch(indices).asnumpy()


def plain_av(path: Path, indices: list[int]) -> np.ndarray:
    """Decodes from the beginning to the last frame that is wanted."""
    wanted, frames = set(indices), {}
    with av.open(str(path)) as container:
        container.streams.video[0].codec_context.thread_count = 1
        for number, frame in enumerate(container.decode(video=0)):
            if number in wanted:
                frames[number] = frame.to_ndarray(format="rgb24")
            if number == max(wanted):
                break
    return np.stack([frames[i] for i in indices])


def plain_opencv(path: Path, indices: list[int]) -> np.ndarray:
    """Sets the position of each frame in the order asked for."""
    video, frames = cv2.VideoCapture(str(path)), []
    for index in indices:
        video.set(cv2.CAP_PROP_POS_FRAMES, index)
        frames.append(cv2.cvtColor(video.read()[1], cv2.COLOR_BGR2RGB))
    return np.stack(frames)


def ours(backend: str) -> Callable[[Path, list[int]], np.ndarray]:
    return lambda path, indices: VideoFile(path, backend).read(indices)  # type: ignore[arg-type]


READERS: dict[str, Callable[[Path, list[int]], np.ndarray]] = {
    "mmcontrast, decord": ours("decord"),
    "mmcontrast, PyAV": ours("pyav"),
    "decord": plain_decord,
    "PyAV": plain_av,
    "OpenCV": plain_opencv,
}


def main() -> None:
    cv2.setNumThreads(1)
    spec = importlib.util.find_spec("gradio")
    assert spec
    assert spec.origin
    default = Path(spec.origin).parent / "media_assets" / "videos" / "world.mp4"
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else default
    video = VideoFile(path)
    draw = np.random.default_rng(0)
    orders = {
        "anywhere": draw.integers(0, len(video), COUNT).tolist(),
        "a clip": list(range(len(video) // 2, len(video) // 2 + 4)),
    }
    print(f"{path.name}: {len(video)} frames of {video.width}x{video.height}; CPU ms to open and read, one thread\n")
    print(f"| reader | {COUNT} frames anywhere | 4 frames in a row |\n|---|---|---|")
    for name, read in READERS.items():
        cells = []
        for indices in orders.values():
            read(path, indices)
            times = []
            for _ in range(REPEATS):
                start = time.process_time()
                read(path, indices)
                times.append(time.process_time() - start)
            cells.append(f"{1000 * sorted(times)[REPEATS // 2]:.0f}")
        print(f"| {name} | {' | '.join(cells)} |")
    print(f"\n{platform.processor() or platform.machine()}, torch {torch.__version__}")


if __name__ == "__main__":
    main()
