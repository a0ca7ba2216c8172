"""Renders textured meshes to posed RGB-D scenes with masks, as ``mmcontrast`` reads them.

    pip install 'mmcontrast[render]'
    mmcontrast data render_rgbd --meshes meshes/ --out renders/ --scenes 40 --views 24

Objects are dropped on a table with clutter, under a random light, and seen from around.  Each scene becomes
SCENE/{color,depth,mask,pose}/NNNNNN.*, intrinsics.txt and objects.json (names and object-to-world poses).

The renderer is PyBullet's software one: a single wheel without OpenGL, drivers or a display, with the physics that lets
objects come to rest.  pyrender needs OSMesa or EGL from the system and has had no release since 2021.
"""

import argparse
import json
import sys
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from mmcontrast.errors import InputError

from ._texture import random_texture

NEAR, FAR = 0.05, 6.0  # meters, of the depth buffer
FIELD = 50.0  # degrees, vertical
SUFFIXES = (".obj", ".glb")
SIZES = (0.02, 0.5)  # meters: meshes outside are scaled to 0.15


@dataclass(frozen=True)
class Mesh:
    """A mesh file with its texture and its bounding box in meters."""

    name: str
    file: Path
    texture: Path | None
    low: np.ndarray
    high: np.ndarray


def main() -> int:
    """Renders all scenes; returns 0."""
    args = parse()
    try:
        if (
            min(args.scenes, args.views, args.objects[0]) < 1
            or args.objects[0] > args.objects[1]
            or min(args.size) < 16
        ):
            raise InputError(
                f"--scenes {args.scenes} --views {args.views} --objects {args.objects[0]} {args.objects[1]} --size "
                f"{args.size[0]} {args.size[1]}: wanted at least 1 of each, A not above B, and 16 x 16 pixels"
            )
        with tempfile.TemporaryDirectory() as scratch:
            meshes = find_meshes(Path(args.meshes), Path(scratch))
            chosen = choose(meshes, args.only, args.exclude)
            renderer = Renderer(tuple(args.size), Path(scratch))
            for number in range(args.start, args.start + args.scenes):
                rng = np.random.default_rng((args.seed, number))
                count = min(len(chosen), int(rng.integers(args.objects[0], args.objects[1], endpoint=True)))
                some = [chosen[i] for i in rng.choice(len(chosen), count, replace=False)]
                folder = Path(args.out) / f"{args.prefix}{number:04d}"
                if folder.exists():
                    raise InputError(
                        f"{folder}: is there already; remove it, or choose another --out, --start or --prefix"
                    )
                renderer.scene(some, folder, args.views, args.elevation, rng)
                print(f"{folder}: {', '.join(mesh.name for mesh in some)}", file=sys.stderr)
    except InputError as error:
        print(f"render_rgbd: {error}", file=sys.stderr)
        return 2
    print(f"data: {{train: {{class_path: ScenePairs, init_args: {{scenes: {args.out}}}}}}}")
    return 0


def parse() -> argparse.Namespace:
    """Parses the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--meshes", required=True, metavar="PATH", help="folder or .tar with .obj or .glb files, or one"
    )
    parser.add_argument("--out", required=True, metavar="DIR", help="folder for the scenes")
    parser.add_argument("--scenes", type=int, default=20, metavar="N", help="number of scenes (default: 20)")
    parser.add_argument("--views", type=int, default=24, metavar="N", help="views per scene (default: 24)")
    parser.add_argument(
        "--objects", type=int, nargs=2, default=(1, 5), metavar=("A", "B"), help="objects per scene (default: 1 5)"
    )
    parser.add_argument(
        "--size", type=int, nargs=2, default=(240, 320), metavar=("H", "W"), help="of the images (default: 240 320)"
    )
    parser.add_argument(
        "--elevation",
        type=float,
        nargs=2,
        default=(20, 75),
        metavar=("A", "B"),
        help="of the cameras, in degrees above the table (default: 20 75)",
    )
    parser.add_argument("--only", nargs="+", metavar="NAME", help="objects to use")
    parser.add_argument("--exclude", nargs="+", default=(), metavar="NAME", help="objects to hold out")
    parser.add_argument("--start", type=int, default=0, metavar="N", help="number of the first scene (default: 0)")
    parser.add_argument("--prefix", default="scene", help="of the scenes' folders (default: scene)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of everything (default: 0)")
    return parser.parse_args()


def find_meshes(source: Path, scratch: Path) -> list[Mesh]:
    """Returns the meshes of an .obj or .glb file, a folder or a tar archive, named after their folder or file."""
    if not source.exists():
        raise InputError(f"{source}: no such file or folder")
    if source.is_file() and source.suffix.lower() not in SUFFIXES:
        try:
            with tarfile.open(source) as tar:
                tar.extractall(scratch / "meshes", filter="data")
        except tarfile.TarError as error:
            raise InputError(f"{source}: is no .obj or .glb file, and no tar that can be unpacked ({error})") from error
        source = scratch / "meshes"
    files = [source] if source.is_file() else sorted(p for p in source.rglob("*") if p.suffix.lower() in SUFFIXES)
    if not files:
        raise InputError(f"{source}: holds no .obj or .glb file")
    meshes = [_mesh(file, scratch / "glb" / str(number)) for number, file in enumerate(files)]
    if bare := [mesh.name for mesh in meshes if not mesh.texture]:
        print(f"without a texture, and drawn white: {', '.join(bare)}", file=sys.stderr)
    return meshes


def choose(meshes: list[Mesh], only: list[str] | None, exclude: list[str]) -> list[Mesh]:
    """Returns the meshes that ``only`` and ``exclude`` select by name."""
    names = {mesh.name for mesh in meshes}
    if unknown := (set(only or ()) | set(exclude)) - names:
        raise InputError(f"no mesh is called {', '.join(sorted(unknown))}; there are {', '.join(sorted(names))}")
    return [mesh for mesh in meshes if (only is None or mesh.name in only) and mesh.name not in exclude]


def _mesh(file: Path, folder: Path) -> Mesh:
    """Reads a mesh file; a .glb file is converted to an .obj file with a texture in the folder."""
    generic = file.stem.lower() in ("model", "mesh", "textured", "visual")
    name = file.parent.name if generic else file.stem
    if file.suffix.lower() == ".glb":
        import trimesh

        folder.mkdir(parents=True)
        try:
            trimesh.load(file, force="mesh").export(folder / "model.obj")
        except Exception as error:  # of many types, for files that are cut or something else
            raise InputError(f"{file}: cannot be read as a .glb mesh ({error})") from error
        file = folder / "model.obj"
    try:
        with file.open(encoding="utf-8", errors="replace") as lines:
            points = np.array([line.split()[1:4] for line in lines if line.startswith("v ")], float).reshape(-1, 3)
    except ValueError as error:
        raise InputError(f"{file}: has a vertex that is not three numbers ({error})") from error
    if not len(points):
        raise InputError(f"{file}: holds no vertices")
    images = sorted(p for p in file.parent.iterdir() if p.suffix.lower() in (".jpg", ".jpeg", ".png"))
    return Mesh(name, file, images[0] if images else None, points.min(0), points.max(0))


class Renderer:
    """A simulated table top.

    Args:
        size: (H, W) of the images.
        scratch: folder for textures.
    """

    def __init__(self, size: tuple[int, int], scratch: Path) -> None:
        try:
            import pybullet
        except ImportError:
            raise InputError("PyBullet is not installed: pip install 'mmcontrast[render]'") from None
        self.bullet: Any = pybullet
        self.size, self.scratch, self.textures = size, scratch, 0
        pybullet.connect(pybullet.DIRECT)
        height, width = size
        self.projection = pybullet.computeProjectionMatrixFOV(FIELD, width / height, NEAR, FAR)
        focal = height / 2 / np.tan(np.radians(FIELD) / 2)
        self.intrinsics = np.array([[focal, 0, (width - 1) / 2], [0, focal, (height - 1) / 2], [0, 0, 1]])

    def scene(
        self, meshes: list[Mesh], folder: Path, views: int, elevation: tuple[float, float], rng: np.random.Generator
    ) -> None:
        """Builds a table with the meshes, lets them come to rest, and writes views from all sides."""
        self.bullet.resetSimulation()
        self.bullet.setGravity(0, 0, -9.81)
        self._box([0, 0, -0.9], [3, 3, 0.1], rng)
        self._box([0, 0, -0.02], [*rng.uniform(0.35, 0.6, 2), 0.02], rng)
        for _ in range(int(rng.integers(0, 5))):
            self._clutter(rng)
        bodies = [self._drop(mesh, rng) for mesh in meshes]
        for _ in range(480):
            self.bullet.stepSimulation()
        for kind in ("color", "depth", "mask", "pose"):
            (folder / kind).mkdir(parents=True, exist_ok=True)
        poses = [self._pose(body) for body in bodies]
        center = np.mean([pose[:3, 3] for pose in poses], 0).clip(-0.3, 0.3)
        light = {
            "lightDirection": [*rng.uniform(-1, 1, 2), rng.uniform(0.6, 2)],
            "lightColor": rng.uniform(0.85, 1, 3).tolist(),
            "lightAmbientCoeff": rng.uniform(0.45, 0.7),
            "lightDiffuseCoeff": rng.uniform(0.4, 0.7),
            "lightSpecularCoeff": rng.uniform(0, 0.1),
            "shadow": 1,
        }
        for number in range(views):
            target = center + rng.normal(0, 0.03, 3)
            eye = target + rng.uniform(0.35, 0.7) * _direction(rng, elevation)
            color, depth, mask, pose = self._look(eye, target, bodies, light)
            cv2.imwrite(str(folder / f"color/{number:06d}.jpg"), color[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 92])
            cv2.imwrite(str(folder / f"depth/{number:06d}.png"), depth)
            cv2.imwrite(str(folder / f"mask/{number:06d}.png"), mask)
            np.savetxt(folder / f"pose/{number:06d}.txt", pose)
        np.savetxt(folder / "intrinsics.txt", self.intrinsics)
        named = {i: {"name": m.name, "pose": p.tolist()} for i, (m, p) in enumerate(zip(meshes, poses, strict=True), 1)}
        (folder / "objects.json").write_text(json.dumps(named))

    def _look(
        self, eye: np.ndarray, target: np.ndarray, bodies: list[int], light: dict[str, Any]
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Renders color (H, W, 3) uint8, depth (H, W) uint16 millimeters, mask (H, W) uint8, camera-to-world (4, 4)."""
        height, width = self.size
        view = self.bullet.computeViewMatrix(eye.tolist(), target.tolist(), [0, 0, 1])
        _, _, color, buffer, body = self.bullet.getCameraImage(
            width, height, view, self.projection, renderer=self.bullet.ER_TINY_RENDERER, **light
        )
        buffer, body = (np.asarray(plane).reshape(height, width) for plane in (buffer, body))
        meters = FAR * NEAR / (FAR - (FAR - NEAR) * buffer.astype(np.float64))
        depth = np.where(body < 0, 0, np.round(meters * 1000)).clip(0, 65534).astype(np.uint16)
        mask = np.zeros((height, width), np.uint8)
        for number, identity in enumerate(bodies, 1):
            mask[body == identity] = number
        pose = np.linalg.inv(np.array(view).reshape(4, 4).T) @ np.diag([1.0, -1, -1, 1])  # OpenGL's axes to OpenCV's
        return np.asarray(color, np.uint8).reshape(height, width, 4)[..., :3], depth, mask, pose

    def _drop(self, mesh: Mesh, rng: np.random.Generator) -> int:
        extent = float((mesh.high - mesh.low).max())
        scale = 1.0 if SIZES[0] <= extent <= SIZES[1] else 0.15 / extent
        middle, half = scale * (mesh.low + mesh.high) / 2, scale * (mesh.high - mesh.low) / 2
        shape = self.bullet.createVisualShape(self.bullet.GEOM_MESH, fileName=str(mesh.file), meshScale=[scale] * 3)
        box = self.bullet.createCollisionShape(
            self.bullet.GEOM_BOX, halfExtents=half.tolist(), collisionFramePosition=middle.tolist()
        )
        turn = rng.normal(size=4)
        body = self.bullet.createMultiBody(
            0.2,
            box,
            shape,
            [*rng.uniform(-0.15, 0.15, 2), rng.uniform(0.1, 0.3)],
            (turn / np.linalg.norm(turn)).tolist(),
            baseInertialFramePosition=middle.tolist(),
        )
        self.bullet.changeDynamics(body, -1, rollingFriction=0.01, spinningFriction=0.01, linearDamping=0.3)
        if mesh.texture:
            texture = self.bullet.loadTexture(str(mesh.texture))
            self.bullet.changeVisualShape(body, -1, rgbaColor=[1, 1, 1, 1], textureUniqueId=texture)
        return body

    def _pose(self, body: int) -> np.ndarray:
        """Returns the pose (4, 4) of the body's inertial frame in the world; that frame is the same in every scene."""
        position, turn = self.bullet.getBasePositionAndOrientation(body)
        pose = np.eye(4)
        pose[:3, :3] = np.array(self.bullet.getMatrixFromQuaternion(turn)).reshape(3, 3)
        pose[:3, 3] = position
        return pose

    def _box(self, center: list[float], half: list[float], rng: np.random.Generator, turn: float = 0.0) -> None:
        shape = self.bullet.createVisualShape(self.bullet.GEOM_BOX, halfExtents=half)
        box = self.bullet.createCollisionShape(self.bullet.GEOM_BOX, halfExtents=half)
        body = self.bullet.createMultiBody(0, box, shape, center, self.bullet.getQuaternionFromEuler([0, 0, turn]))
        self.textures += 1
        file = self.scratch / f"texture{self.textures}.png"  # PyBullet remembers images by name
        cv2.imwrite(str(file), random_texture(rng))
        texture = self.bullet.loadTexture(str(file))
        self.bullet.changeVisualShape(body, -1, rgbaColor=[1, 1, 1, 1], textureUniqueId=texture)

    def _clutter(self, rng: np.random.Generator) -> None:
        half = rng.uniform(0.01, 0.06, 3)
        angle, far = rng.uniform(0, 2 * np.pi), rng.uniform(0.15, 0.3)
        self._box([far * np.cos(angle), far * np.sin(angle), half[2]], half.tolist(), rng, rng.uniform(0, np.pi))


def _direction(rng: np.random.Generator, elevation: tuple[float, float]) -> np.ndarray:
    around, up = rng.uniform(0, 2 * np.pi), np.radians(rng.uniform(*elevation))
    return np.array([np.cos(around) * np.cos(up), np.sin(around) * np.cos(up), np.sin(up)])


if __name__ == "__main__":
    sys.exit(main())
