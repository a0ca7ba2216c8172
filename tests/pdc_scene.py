"""Scenes in the layout of the public pdc data."""

import shutil
from pathlib import Path

import cv2
import numpy as np
import yaml


def to_quaternion(pose: np.ndarray) -> np.ndarray:
    """(4, 4) -> x, y, z, w."""
    w = np.sqrt(1 + np.trace(pose[:3, :3])) / 2
    r = pose[:3, :3]
    return np.array([r[2, 1] - r[1, 2], r[0, 2] - r[2, 0], r[1, 0] - r[0, 1], 4 * w * w]) / (4 * w)


def write_pdc_scene(posed: Path, scene: Path) -> Path:
    """The frames of a "posed" scene, its objects as one."""
    images, masks = scene / "processed" / "images", scene / "processed" / "image_masks"
    images.mkdir(parents=True)
    masks.mkdir()
    poses = {}
    for file in sorted(posed.glob("pose/*.txt")):
        name, pose = file.stem, np.loadtxt(file)
        shutil.copy(posed / f"color/{name}.png", images / f"{name}_rgb.png")
        shutil.copy(posed / f"depth/{name}.png", images / f"{name}_depth.png")
        mask = cv2.imread(str(posed / f"mask/{name}.png"), cv2.IMREAD_UNCHANGED)
        cv2.imwrite(str(masks / f"{name}_mask.png"), (mask > 0).astype(np.uint8))
        poses[int(name)] = {
            "camera_to_world": {
                "quaternion": dict(zip("xyzw", map(float, to_quaternion(pose)), strict=True)),
                "translation": dict(zip("xyz", map(float, pose[:3, 3]), strict=True)),
            }
        }
    intrinsics = np.loadtxt(posed / "intrinsics.txt").ravel().tolist()
    camera = {"camera_matrix": {"cols": 3, "rows": 3, "data": intrinsics}}
    (images / "camera_info.yaml").write_text(yaml.safe_dump(camera))
    (images / "pose_data.yaml").write_text(yaml.safe_dump(poses))
    return scene
