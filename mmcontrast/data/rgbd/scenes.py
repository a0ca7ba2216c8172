"""Posed RGB-D scenes: read, checked frame by frame, with the share of surface that two views have in common."""

import contextlib
import io
import re
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from mmcontrast.data.io.archives import Store, open_stores
from mmcontrast.data.io.decode import FORMATS, decode
from mmcontrast.data.rgbd.layouts import Frame, Layout, layouts
from mmcontrast.errors import InputError

Scenes = str | Path | Sequence[str | Path]
_COARSE = (24, 32)  # rows and columns of the depth samples kept of every frame
_AGREE = (0.03, 0.03)  # meters and share of depth within which two views show one surface


@dataclass(frozen=True)
class View:
    """One frame in memory: color (H, W, 3) uint8, depth (H, W) uint16 and mask (H, W) uint8."""

    color: np.ndarray
    depth: np.ndarray
    mask: np.ndarray
    intrinsics: np.ndarray  # (3, 3)
    pose: np.ndarray  # (4, 4)


class Scene:
    """The usable frames of one scene.

    Every depth image is read once at the start.  Frames that cannot be used (no or no finite pose, no depth, depth of
    another size than the color, nothing measured) are left out, listed in ``skipped`` and named in a warning.

    Attributes:
        path: where it lies.
        frames: the usable ones.
        skipped: frame -> why not.
        size: (H, W) in pixels.
        intrinsics: (3, 3) of color, for that size; depth is brought to the same where it is of another camera.
        depth_unit: meters per unit of depth.
        objects: object number -> its name, and its pose where known.
    """

    def __init__(
        self, store: Store, layout: Layout, frames: slice | None = None, depth_unit: float | None = None
    ) -> None:
        self.path, self.store, self.intrinsics = layout.path, store, layout.intrinsics
        self.depth_unit = depth_unit or layout.depth_unit
        self.objects, self.skipped = layout.objects, layout.skipped
        self._to_depth = None  # (2, 3), pixels of color -> pixels of depth
        if layout.depth_intrinsics is not None:
            self._to_depth = (layout.depth_intrinsics @ np.linalg.inv(layout.intrinsics))[:2]
        chosen = [f for i, f in enumerate(layout.frames) if frames is None or _in_slice(f.name, i, frames)]
        with ThreadPoolExecutor(2) as pool:
            checked = list(pool.map(self._check, chosen))
        coarse, self.frames = [], []
        for frame, result in zip(chosen, checked, strict=True):
            if isinstance(result, str):
                self.skipped[frame.name] = result
            else:
                self.frames.append(frame)
                coarse.append(result)
        if not self.frames:
            reasons = "; ".join(f"{n} {r}" for n, r in list(self.skipped.items())[:3])
            raise InputError(f"{self.path}: no usable frame{f' ({reasons})' if reasons else ''}")
        self.size = coarse[0][0]
        if other := [f.name for f, (size, _) in zip(self.frames, coarse, strict=True) if size != self.size]:
            raise InputError(
                f"{self.path}: frame {other[0]} has another size than {self.frames[0].name}; one camera a scene"
            )
        self.coarse = np.stack([depth for _, depth in coarse]) * np.float32(self.depth_unit)  # (F, 24, 32) meters
        self.masked = all(frame.mask is not None for frame in self.frames)
        if self.skipped:
            listed = "; ".join(f"{name} {reason}" for name, reason in list(self.skipped.items())[:5])
            more = f" and {len(self.skipped) - 5} more" if len(self.skipped) > 5 else ""
            count = f"{len(self.skipped)} of {len(self.skipped) + len(self.frames)} frames"
            warnings.warn(f"{self.path}: {count} cannot be used: {listed}{more}", stacklevel=2)

    def __len__(self) -> int:
        return len(self.frames)

    def name(self, index: int) -> str:
        """What messages call a frame."""
        return f"{self.path}: {self.frames[index].name}"

    def view(self, index: int, size: tuple[int, int] | None = None) -> View:
        """Reads a frame, brought to (H, W) if given: color by area, depth and mask without blending."""
        frame = self.frames[index]
        color = decode(self.store.read(frame.color), name=self.name(index))
        depth = self._depth(frame, self.name(index))
        if frame.mask is None:
            mask: np.ndarray = np.ones(depth.shape, np.uint8)
        else:
            mask = _decode_mask(self.store.read(frame.mask), self.name(index))
            if mask.shape != depth.shape:
                raise InputError(f"{self.name(index)}: its mask is {mask.shape[::-1]}, its depth {depth.shape[::-1]}")
            if not self.objects:
                mask = (mask > 0).astype(np.uint8)
        intrinsics = self.intrinsics
        if size is not None and size != self.size:
            intrinsics = scale_intrinsics(intrinsics, self.size, size)
            shape = size[::-1]
            smooth = cv2.INTER_AREA if size < self.size else cv2.INTER_LINEAR
            color = np.asarray(cv2.resize(color, shape, interpolation=smooth), np.uint8)
            depth = cv2.resize(depth, shape, interpolation=cv2.INTER_NEAREST_EXACT)
            mask = cv2.resize(mask, shape, interpolation=cv2.INTER_NEAREST_EXACT)
        return View(color, depth, mask, intrinsics, frame.pose)

    def overlap(self, a: int, b: int) -> tuple[float, float]:
        """How much two frames show of the same surface, from about 700 depths.

        Returns:
            Share of a's measured points that b sees, of those that b could measure; and share of those inside b's view
            whose depths agree (near 1 but for occlusion when poses, intrinsics and depth unit are right).
        """
        xy, (height, width) = self._coarse_pixels(), self.size
        depth = self.coarse[a].reshape(-1)
        known = depth > 0
        ray = np.concatenate([xy, np.ones_like(xy[:, :1])], 1) @ np.linalg.inv(self.intrinsics).T  # (P, 3)
        motion = np.linalg.inv(self.frames[b].pose) @ self.frames[a].pose
        point = (ray * depth[:, None]) @ motion[:3, :3].T + motion[:3, 3]
        front = known & (point[:, 2] > 0)
        image = point @ self.intrinsics.T
        xy_b = image[:, :2] / np.where(front, point[:, 2], 1)[:, None]
        rows, columns = _COARSE
        cell = np.floor((xy_b + 0.5) * (columns, rows) / (width, height))
        inside = front & (cell >= 0).all(1) & (cell < (columns, rows)).all(1)
        column, row = np.where(inside[:, None], cell, 0).astype(int).T
        # b's depth at the nearest sample belongs to a place up to half a cell off: take the best of the cells around
        near = np.stack(
            [
                self.coarse[b][np.clip(row + i, 0, rows - 1), np.clip(column + j, 0, columns - 1)]
                for i in (-1, 0, 1)
                for j in (-1, 0, 1)
            ]
        )  # (9, P)
        low, high = np.where(near > 0, near, np.inf).min(0), near.max(0)
        measured = inside & (high > 0)
        slack = _AGREE[0] + _AGREE[1] * point[:, 2]
        agree = measured & (point[:, 2] >= low - slack) & (point[:, 2] <= high + slack)
        decided = known.sum() - (inside & ~measured).sum()
        return float(agree.sum() / max(decided, 1)), float(agree.sum() / max(measured.sum(), 1))

    def _check(self, frame: Frame) -> tuple[tuple[int, int], np.ndarray] | str:
        """Size and (24, 32) depths, or why the frame cannot be used."""
        try:
            size = _color_size(self.store.read(frame.color))
            depth = self._depth(frame, "its depth")
        except (InputError, OSError) as error:
            return f"cannot be read ({error})"
        if depth.shape != size:
            return f"has color of {size[1]}x{size[0]} but depth of {depth.shape[1]}x{depth.shape[0]}"
        if not depth.any():
            return "has no depth above 0"
        x, y = _coarse_pixels(size).astype(int).T
        return size, depth[y, x].reshape(_COARSE).astype(np.float32)

    def _depth(self, frame: Frame, name: str) -> np.ndarray:
        """(H, W) uint16, as color's camera sees it: two lenses at one place see each other's pixels at any depth."""
        depth = _decode_depth(self.store.read(frame.depth), name)
        if self._to_depth is None:
            return depth
        how = cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP
        return cv2.warpAffine(depth, self._to_depth, depth.shape[::-1], flags=how, borderMode=cv2.BORDER_CONSTANT)

    def _coarse_pixels(self) -> np.ndarray:
        return _coarse_pixels(self.size)


def open_scenes(scenes: Scenes, depth_unit: float | None = None) -> list[Scene]:
    """All scenes below folders or in archives.

    Args:
        scenes: a folder or .tar or .zip of one scene or of many, a pattern, or a list; ``PATH[A:B]`` takes the frames
            numbered A to B - 1, to hold some out.
        depth_unit: meters per unit of depth; None: the layout's own.
    Raises:
        InputError: no scene there, or intrinsics or every pose missing; the message names the file.
    """
    if depth_unit is not None and not depth_unit > 0:
        raise InputError(f"depth_unit is {depth_unit:g}; wanted meters per unit of depth, above 0")
    opened: list[Scene] = []
    for root in [scenes] if isinstance(scenes, str | Path) else scenes:
        match = re.fullmatch(r"(.*)\[(\d*):(\d*)\]", str(root))
        path, frames = (
            (match[1], slice(*(int(v) if v else None for v in match.groups()[1:]))) if match else (root, None)
        )
        before = len(opened)
        for store in open_stores(path):
            opened += [Scene(store, layout, frames, depth_unit) for layout in layouts(store)]
        if len(opened) == before:
            raise InputError(
                f"{root}: no posed RGB-D scene there; wanted color/, depth/, pose/ and intrinsics.txt, or a TUM "
                "RGB-D scene, in a folder or archive, or a pdc folder"
            )
    return opened


def scale_intrinsics(intrinsics: np.ndarray, size: tuple[int, int], to: tuple[int, int]) -> np.ndarray:
    """The (3, 3) matrix after resizing images of (H, W); pixel centers at integers."""
    x, y = to[1] / size[1], to[0] / size[0]
    scaled: np.ndarray = intrinsics * np.array([[x], [y], [1]])
    scaled[:2, 2] += (np.array([x, y]) - 1) / 2
    return scaled


def _in_slice(name: str, index: int, frames: slice) -> bool:
    number = int(name) if name.isdigit() else index
    return (frames.start or 0) <= number < (number + 1 if frames.stop is None else frames.stop)


def _coarse_pixels(size: tuple[int, int]) -> np.ndarray:
    """(P, 2) pixels x, y in the middle of each coarse cell."""
    rows, columns = _COARSE
    y, x = np.meshgrid(np.arange(rows), np.arange(columns), indexing="ij")
    centers: np.ndarray = (np.stack([x, y], -1).reshape(-1, 2) + 0.5) * (size[1] / columns, size[0] / rows)
    return np.asarray(np.floor(centers))


def _color_size(data: bytes) -> tuple[int, int]:
    """(H, W) by the header of an image whose end is there; others are decoded, which says what is wrong."""
    if data.rstrip(b"\0").endswith((b"\xff\xd9", b"IEND\xaeB`\x82")):  # of JPEG and PNG
        with contextlib.suppress(OSError), Image.open(io.BytesIO(data), formats=FORMATS) as image:
            return image.height, image.width
    height, width = decode(data, name="its color").shape[:2]
    return height, width


def _decode_depth(data: bytes, name: str) -> np.ndarray:
    complete = b"IEND" in data or not data.startswith(b"\x89PNG")  # of the rest of a cut one, OpenCV makes zeros
    depth = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED) if data and complete else None
    if depth is None:
        raise InputError(f"{name}: the depth image cannot be decoded")
    if depth.dtype != np.uint16 or depth.ndim != 2:
        raise InputError(f"{name}: depth is {depth.dtype} {depth.shape}; wanted a 16-bit PNG of one channel")
    depth[depth == np.iinfo(np.uint16).max] = 0
    return depth


def _decode_mask(data: bytes, name: str) -> np.ndarray:
    with Image.open(io.BytesIO(data), formats=FORMATS) as image:  # palette numbers, not their colors
        mask = np.array(image)
    if mask.ndim != 2:
        raise InputError(f"{name}: the mask has {mask.shape[2]} channels; wanted one with object numbers")
    return mask.astype(np.uint8)
