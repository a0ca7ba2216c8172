"""Balls on a table, seen by a camera: exact color, depth, masks and poses for tests, smoke runs and the quickstart."""

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from torch.utils.data import Dataset

from mmcontrast.data.datasets.view_pair import raw_pair
from mmcontrast.data.rgbd.scenes import View
from mmcontrast.data.sampler import SampleKey


class ToyScene:
    """A table at z = 0 with balls of radius 4 to 9 cm on it, painted with solid textures; drawn by ray casting.

    Args:
        seed: decides everything but the camera.
        objects: number of balls; ball i has number i + 1 in masks.
    """

    def __init__(self, seed: int = 0, objects: int = 3) -> None:
        rng = np.random.default_rng(seed)
        self.radius = rng.uniform(0.04, 0.09, objects)
        angle = np.arange(objects) * 2 * np.pi / max(objects, 1) + rng.uniform(0, 6)
        self.center = np.stack([0.15 * np.cos(angle), 0.15 * np.sin(angle), self.radius], 1)  # (O, 3) meters
        self.wave = rng.normal(0, 60, (objects + 1, 3, 4, 3))  # surface, color, term, axis: radians per meter
        self.phase = rng.uniform(0, 2 * np.pi, (objects + 1, 3, 4))
        self.base = rng.uniform(60, 190, (objects + 1, 3))

    def view(self, pose: np.ndarray, size: tuple[int, int] = (120, 160)) -> View:
        """What a camera with a field of 60 degrees sees.

        Args:
            pose: (4, 4) camera-to-world, meters.
            size: (H, W) in pixels.
        """
        height, width = size
        focal = width / 2 / np.tan(np.pi / 6)
        intrinsics = np.array([[focal, 0, (width - 1) / 2], [0, focal, (height - 1) / 2], [0, 0, 1]])
        y, x = np.mgrid[:height, :width]
        ray = np.stack([x, y, np.ones_like(x)], -1).reshape(-1, 3) @ np.linalg.inv(intrinsics).T  # (P, 3), depth 1
        ray, eye = ray @ pose[:3, :3].T, pose[:3, 3]
        depth = np.full((len(self.center) + 1, len(ray)), np.inf)  # of each surface, (O + 1, P)
        with np.errstate(divide="ignore", invalid="ignore"):
            depth[0] = np.where(ray[:, 2] < 0, -eye[2] / ray[:, 2], np.inf)
            for i, (center, radius) in enumerate(zip(self.center, self.radius, strict=True), 1):
                a, b = (ray**2).sum(1), ray @ (eye - center)
                root = np.sqrt(b**2 - a * (((eye - center) ** 2).sum() - radius**2))
                depth[i] = np.where(-b - root > 0, (-b - root) / a, np.inf)  # NaN compares as a miss
        mask = depth.argmin(0)
        nearest = depth.min(0)
        hit = nearest < 5
        point = eye + ray * np.where(hit, nearest, 0)[:, None]  # (P, 3)
        color = np.zeros((len(ray), 3))
        for surface in range(len(depth)):
            own = mask == surface
            waves = np.sin(np.einsum("pa,cta->pct", point[own], self.wave[surface]) + self.phase[surface])
            color[own] = self.base[surface] + 25 * waves.sum(2)
        millimeters = np.where(hit, np.round(nearest * 1000), 0).reshape(size).astype(np.uint16)
        image = np.where(hit[:, None], color, 255).clip(0, 255).reshape(height, width, 3).astype(np.uint8)
        return View(image, millimeters, np.where(hit, mask, 0).reshape(size).astype(np.uint8), intrinsics, pose)


def camera_around(angle: float, elevation: float = 0.7, distance: float = 0.6) -> np.ndarray:
    """Pose (4, 4) of a camera that looks at the origin from an angle (radians) around and above, at a distance (m)."""
    eye = distance * np.array([np.cos(elevation) * np.cos(angle), np.cos(elevation) * np.sin(angle), np.sin(elevation)])
    forward = -eye / np.linalg.norm(eye)
    right = np.cross(forward, [0, 0, 1])
    right /= np.linalg.norm(right)
    pose = np.eye(4)
    pose[:3] = np.stack([right, np.cross(forward, right), forward, eye], 1)
    return pose


def write_toy_scene(folder: Path, seed: int = 0, frames: int = 6, size: tuple[int, int] = (120, 160)) -> Path:
    """Writes views from around a toy scene in the "posed" layout, with masks and named objects."""
    scene = ToyScene(seed)
    for kind in ("color", "depth", "mask", "pose"):
        (folder / kind).mkdir(parents=True, exist_ok=True)
    for i in range(frames):
        view = scene.view(camera_around(0.15 * i), size)
        cv2.imwrite(str(folder / f"color/{i:06d}.png"), view.color[..., ::-1])
        cv2.imwrite(str(folder / f"depth/{i:06d}.png"), view.depth)
        cv2.imwrite(str(folder / f"mask/{i:06d}.png"), view.mask)
        np.savetxt(folder / f"pose/{i:06d}.txt", view.pose)
    np.savetxt(folder / "intrinsics.txt", view.intrinsics)
    poses = [np.vstack([np.c_[np.eye(3), center], [0, 0, 0, 1]]) for center in scene.center]
    objects = {i: {"name": f"ball-{seed}-{i}", "pose": pose.tolist()} for i, pose in enumerate(poses, 1)}
    (folder / "objects.json").write_text(json.dumps(objects))
    return folder


class ToyViews(Dataset[dict[str, Any]]):
    """Pairs of views of toy scenes, as ``raw_pair`` describes them; index i shows scene i.

    Args:
        length: number of scenes.
        size: (H, W) in pixels.
        apart: largest angle between the two cameras, in radians.
    """

    def __init__(self, length: int = 64, size: tuple[int, int] = (48, 64), apart: float = 0.4) -> None:
        self.length, self.size, self.apart = length, (size[0], size[1]), apart

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, sample_key: int | SampleKey) -> dict[str, Any]:
        sample_key = SampleKey.of(sample_key)
        rng, scene = np.random.default_rng(sample_key.to_int()), ToyScene(sample_key.index)
        angle = rng.uniform(0, 2 * np.pi)
        turns = (angle, angle + rng.uniform(-self.apart, self.apart))
        a, b = (scene.view(camera_around(t, rng.uniform(0.5, 1.0), rng.uniform(0.5, 0.7)), self.size) for t in turns)
        return raw_pair(
            sample_key,
            a.color,
            b.color,
            depth=(a.depth, b.depth),
            mask=(a.mask, b.mask),
            intrinsics=(a.intrinsics, b.intrinsics),
            motion=np.linalg.inv(b.pose) @ a.pose,
        )
