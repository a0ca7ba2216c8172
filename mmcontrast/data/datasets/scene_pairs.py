"""Pairs of views out of posed RGB-D scenes, of the kinds that Dense Object Nets train on (1806.08756, section 3)."""

from collections.abc import Mapping
from typing import Any, Literal, get_args

import numpy as np
from torch.utils.data import Dataset

from mmcontrast.data.datasets.view_pair import OBJECTS, raw_pair
from mmcontrast.data.rgbd.check import check_geometry
from mmcontrast.data.rgbd.scenes import Scene, Scenes, View, open_scenes
from mmcontrast.data.sampler import SampleKey
from mmcontrast.errors import InputError

Kind = Literal["within", "different", "across", "synthetic"]


class ScenePairs(Dataset[dict[str, Any]]):
    """Random pairs of views, as ``raw_pair`` describes them; ``Mixture`` mixes kinds by weights.

    Kinds:
        within: two views of one scene, with one object, several, or a whole room without masks.
        different: views of two scenes that show different objects; no pixel matches any other (blind non-matches).
        across: views of two scenes that show the same object.  Where both know the object's pose, its surface gives
            matches; else a's object is only held apart from b's background, which is safe: blind non-matches on the
            object itself, as in the public code, could be matches.
        synthetic: a within-scene pair with the objects of another scene's pair pasted in front.

    Args:
        scenes: as in ``open_scenes``; or a mapping of object names to such, for scenes that do not name their objects.
        kind: see above.
        length: pairs per epoch.
        size: (H, W) that all views are brought to; needed when scenes differ in size.
        overlap: smallest and largest share of surface in common of two views of one scene.
        window: how many frames apart the two may be in the order of the scene; tracked poses drift, so that frames long
            apart do not fit together as well as their neighbors.  None: any.
        depth_unit: meters per unit of depth; None: the layout's own.
    """

    def __init__(
        self,
        scenes: Scenes | Mapping[str, Scenes],
        kind: Kind = "within",
        length: int = 1000,
        size: tuple[int, int] | None = None,
        overlap: tuple[float, float] = (0.2, 0.95),
        window: int | None = None,
        depth_unit: float | None = None,
    ) -> None:
        if kind not in get_args(Kind):
            raise InputError(f"kind is {kind!r}; wanted one of {', '.join(get_args(Kind))}")
        self.scenes: list[Scene] = []
        for name, root in scenes.items() if isinstance(scenes, Mapping) else [(None, scenes)]:
            opened = open_scenes(root, depth_unit)
            for scene in opened:
                if name is not None:
                    scene.objects = {1: {"name": name}}
            self.scenes += opened
        self.kind, self.length, self.overlap, self.window = kind, length, overlap, window
        self.size = (size[0], size[1]) if size else self.scenes[0].size
        if not size and (other := [s for s in self.scenes if s.size != self.size]):
            raise InputError(
                f"{other[0].path}: images of {other[0].size[::-1]} beside {self.size[::-1]} in "
                f"{self.scenes[0].path}; give size=(height, width) to bring all to one"
            )
        self.names = [{entry["name"] for entry in scene.objects.values()} for scene in self.scenes]
        if kind == "within":
            check_geometry(self.scenes)
        else:
            self.partners = [self._partners(i) for i in range(len(self.scenes))]
            self.first = [i for i, partners in enumerate(self.partners) if partners]
            if not self.first:
                raise InputError(
                    f"no two scenes for pairs of kind {kind!r}: they need masks, and objects named in objects.json "
                    "or as keys of a mapping"
                )

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, sample_key: int | SampleKey) -> dict[str, Any]:
        sample_key = SampleKey.of(sample_key)
        rng = np.random.default_rng(sample_key.to_int())
        if self.kind == "within":
            scene = self.scenes[rng.integers(len(self.scenes))]
            return raw_pair(sample_key, **self._within(scene, rng))
        first = self.first[rng.integers(len(self.first))]
        one, other = self.scenes[first], self.scenes[rng.choice(self.partners[first])]
        if self.kind == "synthetic":
            return raw_pair(sample_key, **paste(self._within(one, rng), self._within(other, rng)))
        view_a, view_b = (s.view(int(rng.integers(len(s))), self.size) for s in (one, other))
        if self.kind == "different":
            return raw_pair(sample_key, **_fields(view_a, view_b, one), blind=True, masked_fraction=1.0)
        return raw_pair(sample_key, **_across(one, view_a, other, view_b))

    def name(self, index: int) -> str:
        """What messages call a sample: the scenes it may come from."""
        return f"pair {index} of {self.scenes[0].path}" + (" and others" if len(self.scenes) > 1 else "")

    def _within(self, scene: Scene, rng: np.random.Generator) -> dict[str, Any]:
        a, b = draw_views(scene, rng, self.overlap, self.window)
        view_a, view_b = scene.view(a, self.size), scene.view(b, self.size)
        return {**_fields(view_a, view_b, scene), "motion": np.linalg.inv(view_b.pose) @ view_a.pose}

    def _partners(self, index: int) -> list[int]:
        scene, own = self.scenes[index], self.names[index]
        others = [i for i, s in enumerate(self.scenes) if i != index and s.masked and scene.masked]
        if self.kind == "across":
            return [i for i in others if own & self.names[i]]
        return [i for i in others if own and self.names[i] and not own & self.names[i]]


def draw_views(
    scene: Scene, rng: np.random.Generator, overlap: tuple[float, float], window: int | None = None, attempts: int = 24
) -> tuple[int, int]:
    """Two frames whose overlap lies in the range, or the nearest to it that was met."""
    a = int(rng.integers(len(scene)))
    best, miss = a, np.inf
    first, last = (0, len(scene)) if window is None else (max(0, a - window), min(len(scene), a + window + 1))
    for b in rng.integers(first, last, size=attempts).tolist():
        if a == b:
            continue
        fraction = scene.overlap(a, b)[0]
        distance = max(overlap[0] - fraction, fraction - overlap[1], 0)
        if distance < miss:
            best, miss = b, distance
        if not miss:
            break
    return a, best


def _fields(view_a: View, view_b: View, scene: Scene) -> dict[str, Any]:
    return {
        "image_a": view_a.color,
        "image_b": view_b.color,
        "depth": (view_a.depth, view_b.depth),
        "depth_unit": scene.depth_unit,
        "mask": (view_a.mask, view_b.mask),
        "intrinsics": (view_a.intrinsics, view_b.intrinsics),
    }


def _across(one: Scene, view_a: View, other: Scene, view_b: View) -> dict[str, Any]:
    """The same object in two scenes: b's objects get a's numbers, and move with the object's pose."""
    number = {entry["name"]: i for i, entry in one.objects.items()}
    free = iter(i for i in range(1, OBJECTS) if i not in one.objects)
    table = np.zeros(256, np.uint8)
    motion = np.full((OBJECTS, 4, 4), np.nan)
    for i, entry in other.objects.items():
        shared = number.get(entry["name"])
        table[i] = shared if shared is not None else next(free, OBJECTS - 1)
        if shared is not None and "pose" in entry and "pose" in one.objects[shared]:
            to_object = np.linalg.inv(one.objects[shared]["pose"]) @ view_a.pose
            motion[shared] = np.linalg.inv(view_b.pose) @ entry["pose"] @ to_object
    fields = _fields(view_a, view_b, one)
    fields["mask"] = (view_a.mask, table[view_b.mask])
    fields["depth"] = (view_a.depth, _in_unit(view_b.depth, other.depth_unit, one.depth_unit))
    posed = bool(np.isfinite(motion).any())
    return {**fields, "motion": motion, "blind": not posed, "masked_fraction": 0.5 if posed else 0.0}


def paste(pair: dict[str, Any], front: dict[str, Any]) -> dict[str, Any]:
    """Objects of one pair in front of another: images, depths and masks by the mask, each with its own motion."""
    shift = int(max(mask.max() for mask in pair["mask"]))
    top = int(max(mask.max() for mask in front["mask"]))
    if shift + top >= OBJECTS:
        raise InputError(f"{shift} and {top} objects do not fit into one pair of at most {OBJECTS - 1}")
    covers = [mask > 0 for mask in front["mask"]]
    images = [np.where(c[..., None], front[i], pair[i]) for c, i in zip(covers, ("image_a", "image_b"), strict=True)]
    depths = [_in_unit(depth, front["depth_unit"], pair["depth_unit"]) for depth in front["depth"]]
    motion = np.full((OBJECTS, 4, 4), np.nan)
    motion[: shift + 1] = pair["motion"]
    # The pair's rays are those of its own cameras: (K'^-1 K) takes them to the front's and back.
    lens_a, lens_b = (np.linalg.inv(f) @ p for f, p in zip(front["intrinsics"], pair["intrinsics"], strict=True))
    into, back = np.eye(4), np.eye(4)
    into[:3, :3], back[:3, :3] = lens_a, np.linalg.inv(lens_b)
    motion[shift + 1 : shift + top + 1] = back @ front["motion"] @ into
    return {
        **pair,
        "image_a": images[0],
        "image_b": images[1],
        "depth": tuple(np.where(c, f, p) for c, f, p in zip(covers, depths, pair["depth"], strict=True)),
        "mask": tuple(
            np.where(c, f + np.uint8(shift), p) for c, f, p in zip(covers, front["mask"], pair["mask"], strict=True)
        ),
        "motion": motion,
    }


def _in_unit(depth: np.ndarray, depth_unit: float, wanted: float) -> np.ndarray:
    return depth if depth_unit == wanted else np.round(depth * (depth_unit / wanted)).astype(np.uint16)
