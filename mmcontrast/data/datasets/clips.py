"""Short clips of videos, without labels, to learn correspondence through time."""

import functools
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from mmcontrast.data.io.archives import Folder, Root, Store, extension, open_stores
from mmcontrast.data.io.decode import EXTENSIONS, ImageError, decode
from mmcontrast.data.io.folders import braces, files_in, is_hidden, natural_order
from mmcontrast.data.io.video import Frames, Video, VideoError
from mmcontrast.data.io.video_file import VideoFile
from mmcontrast.data.sampler import SampleKey
from mmcontrast.errors import InputError
from mmcontrast.ops.random import uniform

VIDEO_EXTENSIONS = (
    *(".mp4", ".mkv", ".webm", ".mov", ".avi", ".m4v", ".mpg", ".mpeg", ".ogv", ".ts", ".m2ts", ".mts", ".vob"),
    *(".wmv", ".asf", ".flv", ".3gp", ".mxf", ".nut", ".ivf"),
)
_FLIP, _JITTER = 21, 22  # streams of the sample's key


class StoredFrames(Video):
    """A video as numbered images in a folder or in a tar or zip file.

    Args:
        store: The folder or archive.
        members: The numbers of its images in the order of the frames.
        fps: Frames per second.
    """

    def __init__(self, store: Store, members: Sequence[int], fps: float) -> None:
        self._store, self._members = store, members
        self.name = f"{store.path}: {os.path.dirname(store.names[members[0]]) or '.'}"
        self.times = np.arange(len(members)) / fps

    def _decode(self, indices: list[int]) -> Frames:
        frames = [decode(self._store.read(self._members[i]), name=self.name) for i in indices]
        if len({frame.shape for frame in frames}) > 1:
            raise ImageError(f"{self.name}: its frames differ in size")
        return np.stack(frames)


class Clips(Dataset[dict[str, Any]]):
    """A few frames of each video, cropped to a square.

    A sample is ``clip`` (T, 3, size, size) uint8 and ``sample_key`` int. A video that cannot be read gives
    ``{"corrupt": message, "sample_key": int}``.

    Args:
        root: Video files, folders of them (searched at any depth), folders or tar or zip files of frame folders
            (VIDEO/00000.jpg, ...), patterns (``{00..31}``, ``*``), or several of these. A .txt file lists paths. The
            frames of a folder are in the order of the numbers in their names.
        frames: The number of frames T, at least 2.
        size: Side of the square in pixels.
        gap: Shortest and longest time between two frames in seconds; each sample draws one between them. A video that
            is too short for it gives frames that are closer together.
        fps: Frames per second of frame folders.
        scale: Smallest and largest area of the square's region, as a fraction of the frame's largest square.
        backward: Probability of a clip that runs backward.
        per_video: Number of samples of each video in an epoch.

    Raises:
        InputError: There are no videos, or a range is out of order.
    """

    def __init__(
        self,
        root: Root,
        frames: int = 4,
        size: int = 256,
        gap: tuple[float, float] = (0.15, 0.5),
        fps: float = 25.0,
        scale: tuple[float, float] = (0.5, 1.0),
        backward: float = 0.5,
        per_video: int = 1,
    ) -> None:
        if frames < 2 or not 0 < gap[0] <= gap[1] or not 0 < scale[0] <= scale[1] <= 1:
            raise InputError(f"frames {frames}, gap {gap}, scale {scale}: wanted T >= 2 and rising positive ranges")
        self.videos = list(_videos(root, fps, frames))
        if not self.videos:
            raise InputError(f"{root}: holds no videos; wanted video files or folders of at least {frames} frames")
        self.frames, self.size, self.gap, self.scale = frames, size, gap, scale
        self.backward, self.per_video = backward, per_video

    def __len__(self) -> int:
        return len(self.videos) * self.per_video

    def name(self, index: int) -> str:
        """Returns what messages call a sample: the name of its video."""
        video = self.videos[index // self.per_video]
        return video.name if isinstance(video, Video) else str(video)

    def __getitem__(self, sample_key: int | SampleKey) -> dict[str, Any]:
        sample_key = SampleKey.of(sample_key)
        if not 0 <= sample_key.index < len(self):
            raise IndexError(sample_key.index)
        generator = np.random.default_rng(sample_key.to_int())
        try:
            source = self.videos[sample_key.index // self.per_video]
            video = source if isinstance(source, Video) else _opened(source, os.getpid())
            if len(video) < self.frames:
                raise VideoError(f"{video.name}: has {len(video)} frames; a clip takes {self.frames}")
            frames = video.read(self._numbers(video.times, generator))  # (T, H, W, 3)
        except (VideoError, ImageError) as error:
            return {"corrupt": str(error), "sample_key": sample_key.to_int()}
        clip = _square(frames, self.size, self.scale, generator)
        return {"clip": torch.from_numpy(clip).permute(0, 3, 1, 2).contiguous(), "sample_key": sample_key.to_int()}

    def _numbers(self, times: npt.NDArray[np.float64], generator: np.random.Generator) -> list[int]:
        """Returns T distinct frame numbers, about equally far apart in time."""
        span = min(generator.uniform(*self.gap) * (self.frames - 1), times[-1])
        start = generator.uniform(0, times[-1] - span)
        middles = (times[1:] + times[:-1]) / 2
        numbers = np.searchsorted(middles, start + np.linspace(0, span, self.frames))
        for i in range(1, self.frames):  # a video with few frames a second gives neighbors
            numbers[i] = max(numbers[i], numbers[i - 1] + 1)
        numbers -= max(0, numbers[-1] - (len(times) - 1))
        if numbers[0] < 0:
            numbers = np.linspace(0, len(times) - 1, self.frames).round().astype(int)
        order = -1 if generator.random() < self.backward else 1
        return [int(number) for number in numbers[::order]]


class ClipAugment(nn.Module):
    """Mirrors and tints clips on the device, all frames of a clip alike.

    Args:
        flip: Probability of mirroring.
        jitter: Largest change of brightness, contrast and saturation, as a fraction.
    """

    def __init__(self, flip: float = 0.5, jitter: float = 0.2) -> None:
        super().__init__()
        self.flip, self.jitter = flip, jitter

    def forward(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Returns the batch with ``clip`` as float in [0, 1].

        Args:
            batch: ``clip`` (B, T, 3, H, W) uint8 and ``sample_key`` (B,) int64.
        """
        clip: Tensor = batch["clip"].float() / 255
        mirrored = uniform(batch["sample_key"], 1, stream=_FLIP)[:, 0] < self.flip
        clip = torch.where(mirrored.view(-1, 1, 1, 1, 1), clip.flip(-1), clip)
        if self.jitter:
            factors = 1 + self.jitter * (2 * uniform(batch["sample_key"], 3, stream=_JITTER) - 1)  # (B, 3)
            brightness, contrast, saturation = factors.to(clip.dtype).view(-1, 3, 1, 1, 1, 1).unbind(1)
            clip = clip * brightness
            clip = (clip - clip.mean((1, 2, 3, 4), keepdim=True)) * contrast + clip.mean((1, 2, 3, 4), keepdim=True)
            gray = clip.mean(2, keepdim=True)
            clip = ((clip - gray) * saturation + gray).clamp(0, 1)
        return {**batch, "clip": clip}


def _videos(root: Root, fps: float, least: int) -> Iterator[Video | Path]:
    """Yields videos; video files stay paths, to be opened when they are read."""
    for entry in [root] if isinstance(root, str | Path) else root:
        for path in (Path(p) for p in braces(str(entry))):
            if path.suffix == ".txt" and path.is_file():
                yield from _videos([line.strip() for line in path.read_text().splitlines() if line.strip()], fps, least)
            elif path.suffix.lower() in VIDEO_EXTENSIONS:
                yield path
            else:
                if path.is_dir():
                    yield from sorted(
                        path / name for name in files_in(path) if Path(name).suffix.lower() in VIDEO_EXTENSIONS
                    )
                yield from (video for store in open_stores(path) for video in _frame_folders(store, fps, least))


def _frame_folders(store: Store, fps: float, least: int) -> Iterator[StoredFrames]:
    """Yields the folders of a store that hold at least so many images, each as a video."""
    folders: dict[str, list[int]] = {}
    for member, name in enumerate(store.names):
        if (
            not is_hidden(os.path.basename(name))
            and extension(name, first_dot=not isinstance(store, Folder))[1] in EXTENSIONS
        ):
            folders.setdefault(os.path.dirname(name), []).append(member)
    for members in folders.values():
        if len(members) >= least:
            yield StoredFrames(store, sorted(members, key=lambda m: natural_order(store.names[m])), fps)


@functools.lru_cache(maxsize=16)
def _opened(path: Path, process: int) -> VideoFile:
    return VideoFile(path)


def _square(frames: Frames, size: int, scale: tuple[float, float], generator: np.random.Generator) -> Frames:
    """Returns the same random square of every frame, (T, H, W, 3) -> (T, size, size, 3)."""
    height, width = frames.shape[1:3]
    side = max(1, round(min(height, width) * generator.uniform(*scale) ** 0.5))
    top, left = generator.integers(height - side + 1), generator.integers(width - side + 1)
    method = cv2.INTER_AREA if side > size else cv2.INTER_LINEAR
    region = frames[:, top : top + side, left : left + side]
    return np.stack([cv2.resize(frame, (size, size), interpolation=method) for frame in region])
