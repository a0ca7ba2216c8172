"""Where the files of a posed RGB-D scene lie: three layouts, told apart by what they contain.

posed  color/NAME.jpg|png, depth/NAME.png (millimeters), pose/NAME.txt (4 x 4 camera-to-world, meters),
       intrinsics.txt (3 x 3); optionally mask/NAME.png (0 background, else object numbers) and objects.json
       ({"1": {"name": ..., "pose": 4 x 4 object-to-world}, ...}); color_intrinsics.txt (3 x 3) where depth is not
       registered to color: color and masks are then of that camera, depth of the other at the same place
pdc    processed/images/NNNNNN_rgb.png, NNNNNN_depth.png, camera_info.yaml, pose_data.yaml; masks in
       processed/image_masks/NNNNNN_mask.png; depth from processed/rendered_images where it exists
       (https://github.com/RobotLocomotion/pytorch-dense-correspondence)
tum    rgb.txt, depth.txt, groundtruth.txt (https://cvg.cit.tum.de/data/datasets/rgbd-dataset/file_formats),
       depth in 1/5000 m; intrinsics.txt, unless the name holds freiburg1, 2 or 3
"""

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import yaml

from mmcontrast.data.io.archives import Store
from mmcontrast.errors import InputError

# https://cvg.cit.tum.de/data/datasets/rgbd-dataset/file_formats#intrinsic_camera_calibration_of_the_kinect
_FREIBURG = {"1": (517.3, 516.5, 318.6, 255.3), "2": (520.9, 521.0, 325.1, 249.7), "3": (535.4, 539.2, 320.1, 247.6)}
_APART = 0.02  # seconds between a TUM color frame and what belongs to it (their associate.py)


@dataclass(frozen=True)
class Frame:
    """One posed image of a scene; the files are member numbers of the scene's store."""

    name: str
    color: int
    depth: int
    mask: int | None
    pose: np.ndarray  # (4, 4) camera-to-world, meters


@dataclass
class Layout:
    """What was found of one scene.

    Attributes:
        path: what messages call it.
        intrinsics: (3, 3), of color.
        depth_unit: meters per unit of depth.
        depth_intrinsics: (3, 3), where depth is not registered to color.
        skipped: frame -> why it cannot be used.
        objects: object number -> ``{"name": str, "pose": (4, 4) object-to-world or absent}``.
    """

    path: str
    intrinsics: np.ndarray
    depth_unit: float
    depth_intrinsics: np.ndarray | None = None
    frames: list[Frame] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)
    objects: dict[int, dict[str, Any]] = field(default_factory=dict)

    def add(self, name: str, color: int | None, depth: int | None, mask: int | None, pose: np.ndarray | str) -> None:
        """Keeps a frame, or why it cannot be used; instead of a pose stands what is wrong with it."""
        reason = None
        if color is None:
            reason = "has no color image"
        elif depth is None:
            reason = "has no depth image (a 16-bit PNG)"
        else:
            reason = pose if isinstance(pose, str) else _pose_problem(pose)
        if reason:
            self.skipped[name] = reason
        else:
            assert color is not None and depth is not None and not isinstance(pose, str)  # noqa: PT018
            self.frames.append(Frame(name, color, depth, mask, pose))


class Members:
    """A store's members below a folder, by name."""

    def __init__(self, store: Store, prefix: str) -> None:
        self.store = store
        self.path = f"{store.path}/{prefix}".rstrip("/")
        self.index = {n[len(prefix) :]: i for i, n in enumerate(store.names) if n.startswith(prefix)}

    def text(self, name: str) -> str | None:
        """A text member, or None; bytes that are no text become signs that no number contains."""
        return self.store.read(self.index[name]).decode("utf-8-sig", "replace") if name in self.index else None

    def stems(self, folder: str, suffix: str = "") -> dict[str, int]:
        """Images of a folder by name without extension (and without the suffix)."""
        pattern = re.compile(re.escape(folder) + r"/([^/]+)" + re.escape(suffix) + r"\.(?:png|jpg|jpeg)$")
        return {m[1]: i for n, i in self.index.items() if (m := pattern.match(n))}


def layouts(store: Store) -> Iterator[Layout]:
    """All scenes of a folder or archive in the order of their names."""
    readers: dict[str, Callable[[Members], Layout]] = {}
    for pattern, reader in _MARKERS:
        for name in store.names:
            if match := re.match(pattern, name):
                readers.setdefault(match[1], reader)
    for prefix in sorted(readers):
        yield readers[prefix](Members(store, prefix))


def _posed(members: Members) -> Layout:
    layout = Layout(members.path, _intrinsics(members), 0.001)
    if "color_intrinsics.txt" in members.index:
        layout.depth_intrinsics, layout.intrinsics = layout.intrinsics, _intrinsics(members, "color_intrinsics.txt")
    color, depth, mask = (members.stems(kind) for kind in ("color", "depth", "mask"))
    poses = {m[1] for name in members.index if (m := re.match(r"pose/([^/]+)\.txt$", name))}
    for name in sorted({*color, *depth, *poses}):
        layout.add(name, color.get(name), depth.get(name), mask.get(name), _matrix(members, f"pose/{name}.txt"))
    try:
        objects = json.loads(members.text("objects.json") or "{}")
        layout.objects = {int(number): _object(entry) for number, entry in objects.items()}
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise InputError(
            f'{members.path}/objects.json: wanted {{"1": {{"name": ..., "pose": 4 x 4}}, ...}} ({error})'
        ) from error
    return layout


def _pdc(members: Members) -> Layout:
    images = "processed/images"
    camera = _yaml(members, f"{images}/camera_info.yaml", "the camera_matrix")
    try:
        intrinsics = np.array(camera["camera_matrix"]["data"], float).reshape(3, 3)
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{members.path}/{images}/camera_info.yaml: holds no camera_matrix with 9 numbers") from error
    layout = Layout(members.path, intrinsics, 0.001)
    entries = _yaml(members, f"{images}/pose_data.yaml", "the cameras' poses")
    poses = {str(key).lstrip("0"): entry for key, entry in entries.items()}
    color, depth = members.stems(images, "_rgb"), members.stems(images, "_depth")
    depth |= members.stems("processed/rendered_images", "_depth")
    mask = members.stems("processed/image_masks", "_mask")
    for name in sorted({*color, *depth}):
        pose = _pdc_pose(poses.get(name.lstrip("0")))
        layout.add(name, color.get(name), depth.get(name), mask.get(name), pose)
    return layout


def _tum(members: Members) -> Layout:
    match = re.search(r"freiburg([123])", members.path)
    if "intrinsics.txt" in members.index or not match:
        intrinsics = _intrinsics(members)
    else:
        fx, fy, cx, cy = _FREIBURG[match[1]]
        intrinsics = np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]])
    layout = Layout(members.path, intrinsics, 1 / 5000)
    color, depth, truth = (_rows(members, f"{name}.txt") for name in ("rgb", "depth", "groundtruth"))
    for time, (file, *_) in sorted(color.items()):
        (of_depth, *_), of_pose = _nearest(depth, time) or [""], _nearest(truth, time)
        pose = f"has no pose in groundtruth.txt within {_APART} s" if of_pose is None else _from_quaternion(of_pose)
        layout.add(f"{time:.6f}", members.index.get(file), members.index.get(of_depth), None, pose)
    return layout


_MARKERS: tuple[tuple[str, Callable[[Members], Layout]], ...] = (
    (r"(.*?)processed/images/camera_info\.yaml$", _pdc),
    (r"((?:.*/)?)groundtruth\.txt$", _tum),
    (r"((?:.*/)?)(?:pose|color|depth)/[^/]+$", _posed),
)
_YAML = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times faster, as safe


def _intrinsics(members: Members, name: str = "intrinsics.txt") -> np.ndarray:
    text = members.text(name)
    if text is None:
        raise InputError(f"{members.path}/{name}: missing; it holds the camera's 3 x 3 matrix in pixels")
    matrix = _numbers(text, (3, 3))
    if matrix is None or matrix[0, 0] <= 0 or matrix[1, 1] <= 0:
        raise InputError(f"{members.path}/{name}: wanted 3 rows of 3 numbers with focal lengths above 0")
    return matrix


def _yaml(members: Members, name: str, what: str) -> dict[Any, Any]:
    text = members.text(name)
    if text is None:
        raise InputError(f"{members.path}/{name}: missing; it holds {what}")
    try:
        data = yaml.load(text, _YAML)
    except yaml.YAMLError as error:
        raise InputError(f"{members.path}/{name}: is no YAML ({' '.join(str(error).split())})") from error
    if not isinstance(data, dict):
        raise InputError(f"{members.path}/{name}: wanted {what}, by name")
    return data


def _matrix(members: Members, name: str) -> np.ndarray | str:
    if (text := members.text(name)) is None:
        return f"has no {name}"
    matrix = _numbers(text, (4, 4))
    return f"its {name} is not 4 x 4 numbers" if matrix is None else matrix


def _numbers(text: str, shape: tuple[int, int]) -> np.ndarray | None:
    """The matrix, or None where the text is none."""
    try:
        values = np.array(text.split(), float)
    except ValueError:
        return None
    return values.reshape(shape) if values.size == shape[0] * shape[1] else None


def _pose_problem(pose: np.ndarray) -> str | None:
    rotation = pose[:3, :3]
    if not np.isfinite(pose).all():
        return "its pose is not finite (tracking was lost)"
    if np.abs(rotation @ rotation.T - np.eye(3)).max() > 0.01 or np.linalg.det(rotation) < 0:
        return "its pose is no rigid motion"
    return None


def _pdc_pose(entry: Any) -> np.ndarray | str:
    if entry is None:
        return "has no pose in pose_data.yaml"
    try:
        pose = entry["camera_to_world"]
        order = [pose["translation"][k] for k in "xyz"] + [pose["quaternion"][k] for k in "xyzw"]
    except (KeyError, TypeError):
        return "its pose has no camera_to_world with translation x y z and quaternion w x y z"
    return _from_quaternion(order)


def _from_quaternion(entries: Sequence[Any]) -> np.ndarray | str:
    """tx ty tz qx qy qz qw -> (4, 4), or what is wrong."""
    try:
        values = np.array(entries[:7], float)
    except (TypeError, ValueError):
        values = np.zeros(0)
    if values.shape != (7,):
        return "its pose is not 7 numbers, tx ty tz qx qy qz qw"
    if not (length := float(np.linalg.norm(values[3:]))) > 0:
        return "its pose has no rotation (tracking was lost)"
    x, y, z, w = values[3:] / length
    pose = np.eye(4)
    pose[:3, 3] = values[:3]
    pose[:3, :3] = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
    ]
    return pose


def _rows(members: Members, name: str) -> dict[float, list[str]]:
    text = members.text(name)
    if text is None:
        raise InputError(f"{members.path}/{name}: missing; a TUM RGB-D folder has rgb.txt, depth.txt, groundtruth.txt")
    lines = [line.replace(",", " ").split() for line in text.splitlines() if not line.lstrip().startswith("#")]
    try:
        return {float(time): rest for time, *rest in filter(None, lines) if rest}
    except ValueError as error:
        raise InputError(f"{members.path}/{name}: wanted lines that begin with a time in seconds ({error})") from error


def _nearest(rows: dict[float, list[str]], time: float) -> list[str] | None:
    stamp = min(rows, key=lambda t: abs(t - time), default=None)
    return None if stamp is None or abs(stamp - time) > _APART else rows[stamp]


def _object(entry: dict[str, Any]) -> dict[str, Any]:
    return {"name": entry["name"], **({"pose": np.array(entry["pose"], float)} if "pose" in entry else {})}
