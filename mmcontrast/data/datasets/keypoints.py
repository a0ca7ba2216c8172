"""Videos with annotated joints: BADJA (Biggs et al. 2018, 1811.05804) and JHMDB (Jhuang et al., ICCV 2013)."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from mmcontrast.data.io.masks import read_mask
from mmcontrast.data.io.video import FrameFolder
from mmcontrast.errors import InputError

_FULL_RESOLUTION = (1080, 1920)  # of the frames that BADJA's joints are given in


@dataclass
class KeypointVideo:
    """A video and the joints in some of its frames.

    Attributes:
        name: Name of the video.
        video: Frames of the video.
        frames: Numbers of the annotated frames, ascending, (A,); tracking starts at the first.
        xy: Joints in pixels (x, y) of the frames, (A, N, 2).
        visible: Whether a joint is visible, (A, N) bool.
        size: Length in pixels by which errors are divided, (A,).
    """

    name: str
    video: FrameFolder
    frames: np.ndarray
    xy: np.ndarray
    visible: np.ndarray
    size: np.ndarray


def read_keypoints(root: str | Path, file: str | Path) -> Iterator[KeypointVideo]:
    """Returns an iterator over the videos of a BADJA file (.json) or a JHMDB split list (.txt).

    Args:
        root: For BADJA the folder that holds DAVIS, or DAVIS itself; for JHMDB the folder that holds Rename_Images.
        file: For BADJA a list of {image_path, segmentation_path, joints [[y, x], ...] at 1080p, visibility}; for JHMDB
            lines that begin with the folder of a video's frames.

    Raises:
        InputError: The file has another form, or frames are missing.
    """
    file = Path(file)
    if not file.is_file():
        raise InputError(f"{file}: no such file; wanted BADJA's .json or a JHMDB list")
    if file.suffix.lower() != ".json":
        return _jhmdb(Path(root), file)
    try:
        entries = json.loads(file.read_text())
        groups = [(folder, list(group)) for folder, group in groupby(entries, lambda e: Path(e["image_path"]).parent)]
    except (json.JSONDecodeError, KeyError, TypeError, UnicodeDecodeError) as error:
        raise InputError(f"{file}: is not a BADJA file ({type(error).__name__}: {error})") from error
    return _badja(Path(root), groups)


def _badja(root: Path, groups: list[tuple[Path, list[dict[str, Any]]]]) -> Iterator[KeypointVideo]:
    for folder, group in groups:
        video = FrameFolder(_find(root, folder))
        numbers = {path.stem: number for number, path in enumerate(video.paths)}
        try:
            frames = [numbers[Path(entry["image_path"]).stem] for entry in group]
        except KeyError as error:
            raise InputError(f"{video.name}: has no frame {error}, which is annotated") from None
        full = np.array([[entry["joints"] for entry in group]], dtype=np.float32)[0]  # (A, N, 2) as (y, x) at 1080p
        scale = np.array([video.width / _FULL_RESOLUTION[1], video.height / _FULL_RESOLUTION[0]], np.float32)
        masks = [read_mask(_find(root, Path(entry["segmentation_path"]))) for entry in group]
        size = np.array([np.sqrt(np.count_nonzero(mask)) for mask in masks])
        visible = np.array([entry["visibility"] for entry in group], dtype=bool)
        xy = (full[..., ::-1] + 0.5) * scale - 0.5
        yield KeypointVideo(folder.name, video, np.array(frames), xy, visible, size)


def _find(root: Path, path: Path) -> Path:
    """Returns a path of a BADJA file below ``root``, at 480p if the full resolution is missing."""
    choices = [Path(str(path).replace("Full-Resolution", name)) for name in ("Full-Resolution", "480p")]
    if root.name == "DAVIS":
        choices = [choice.relative_to("DAVIS") if choice.parts[0] == "DAVIS" else choice for choice in choices]
    for choice in choices:
        if (root / choice).exists():
            return root / choice
    raise InputError(f"{root}: has no {' or '.join(map(str, choices))}")


def _jhmdb(root: Path, file: Path) -> Iterator[KeypointVideo]:
    from scipy.io import loadmat

    for line in file.read_text().splitlines():
        if not line.strip():
            continue
        *_, action, name = Path(line.split()[0]).parts
        frames, joints = root / "Rename_Images" / action / name, root / "joint_positions" / action / name
        if not frames.is_dir() or not (joints / "joint_positions.mat").is_file():
            raise InputError(f"{root}: has no {frames.relative_to(root)} with {joints.relative_to(root)}; see {file}")
        video = FrameFolder(frames)
        table: dict[str, Any] = loadmat(joints / "joint_positions.mat")
        xy = table["pos_img"].transpose(2, 1, 0).astype(np.float32) - 1  # (2, N, T), from 1 -> (T, N, 2), from 0
        count = min(len(video), len(xy))
        xy = xy[:count]
        inside = ((xy >= 0) & (xy <= np.array([video.width, video.height]) - 1)).all(-1)
        extent = np.linalg.norm(xy.max(1) - xy.min(1), axis=1)  # (T,) diagonal of the box around the joints
        yield KeypointVideo(name, video, np.arange(count), xy, inside, 0.6 * extent)
