"""Images with or without class labels, from folders and shards."""

import json
import os
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from mmcontrast.data.datasets.class_names import class_folders, match_class_names
from mmcontrast.data.datasets.prompt_templates import read_classnames
from mmcontrast.data.io.archives import Root
from mmcontrast.data.io.decode import Fit, ImageError, decode
from mmcontrast.data.io.random_access import UnreadableMemberError
from mmcontrast.data.io.resize import Interpolation, crop, random_crop, squash
from mmcontrast.data.io.samples import Samples
from mmcontrast.data.sampler import SampleKey
from mmcontrast.errors import InputError

_MIN_INSIDE = 0.9  # fraction of the images that lie in folders; the others are strays without a label


class Images(Dataset[dict[str, Any]]):
    """Images with labels if the data has labels.

    A sample has ``image`` (3, size, size) uint8, ``label`` int if it is known, and ``sample_key`` int. An image that
    cannot be read gives ``{"corrupt": message, "sample_key": int}``, which ``Collate`` drops and counts.

    Labels come from class folders, from KEY.cls (an integer or a class name), or from ``label`` or ``cls`` of KEY.json.
    A label below 0 means that the class is unknown.

    Args:
        root: A folder, a .tar, .tar.gz or .zip file, a folder of those, a pattern (``{00..31}``, ``*``), or several.
        size: Side of the square image in pixels.
        fit: "crop" resizes the short side to ``size`` and takes the center; "squash" does not keep the aspect ratio;
            "random" takes a random region of area ``scale``, a different one in each epoch.
        scale: Smallest and largest area of a random region, as a fraction of the image.
        classnames: Names of the classes, or a file with one name per line, or with lines ``FOLDER<TAB>NAME`` or
            ``WORDNET_ID NAME``. Names are matched to class folders by ``match_class_names``. A ``classes.txt`` inside
            the folder or next to the shards is used if there is one.
        interpolation: How images are resized, "bicubic" or "bilinear".
    """

    def __init__(
        self,
        root: Root,
        size: int = 224,
        fit: Fit = "crop",
        scale: tuple[float, float] = (0.9, 1.0),
        classnames: str | Path | Sequence[str] | None = None,
        interpolation: Interpolation = "bicubic",
    ) -> None:
        self.samples = Samples(root)
        self.pixels = Pixels(self.samples, size, fit, scale, interpolation)
        names = classnames if classnames is not None else _beside(root)
        self._names = read_classnames(names) if isinstance(names, str | Path) else names
        self._column = next((c for c in ("cls", "json") if self.samples.has(c) and self._raw(0, c) is not None), None)

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, sample_key: int | SampleKey) -> dict[str, Any]:
        sample_key = SampleKey.of(sample_key)
        sample: dict[str, Any] = {"sample_key": sample_key.to_int()}
        try:
            sample["image"] = self.pixels(sample_key)
        except ImageError as error:
            return {**sample, "corrupt": str(error)}
        label = self.label(sample_key.index)
        return sample if label is None else {**sample, "label": label}

    def name(self, index: int) -> str:
        """Returns what messages call a sample."""
        return self.samples.name(index)

    def label(self, index: int) -> int | None:
        """Returns the class number of a sample, or None if the data has no labels."""
        if self._column is None:
            return int(self._folders[1][index]) if len(self._folders[0]) else None
        raw = self._raw(index, self._column)
        if raw is None:
            raise InputError(f"{self.name(index)}: has no label, unlike the first sample")
        if raw.lstrip("-").isdigit():
            return int(raw)
        if raw not in self.classes:
            raise InputError(f"{self.name(index)}: its class {raw!r} is not among the {len(self.classes)} class names")
        return self.classes.index(raw)

    @cached_property
    def labels(self) -> np.ndarray:
        """The class numbers of all samples, (N,) int64; no image is read."""
        if self._column is None and not len(self._folders[0]):
            raise InputError(f"{self.samples.stores[0].path}: has no labels (no class folders, .cls or .json labels)")
        return np.array([self.label(i) for i in range(len(self))], np.int64)

    @cached_property
    def classes(self) -> list[str]:
        """Names of the classes; label i is the i-th."""
        if self._column is None:
            folders = self._folders[0]
            return folders if self._names is None else match_class_names(folders, self._names)
        if self._names is not None:
            return list(self._names.values() if isinstance(self._names, dict) else self._names)
        raw_labels = {self._raw(i, self._column) for i in range(len(self))} - {None}
        numbers = [int(raw) for raw in raw_labels if raw is not None and raw.isdigit()]
        return [str(i) for i in range(max(numbers) + 1)] if numbers else sorted(str(raw) for raw in raw_labels)

    @property
    def class_folders(self) -> list[str]:
        """The class folders in the order of their labels; empty if labels come from elsewhere or nowhere."""
        return self._folders[0] if self._column is None else []

    @cached_property
    def _folders(self) -> tuple[list[str], np.ndarray]:
        """Returns the class folders and the class number of each sample, -1 for images beside the class folders.

        Class folders are those of the first level at which the folders of the samples differ, or the only folder.
        """
        folders = [key.decode().split("/")[:-1] for key in self.samples.keys]
        inside = [folder for folder in folders if folder]
        if len(inside) < _MIN_INSIDE * len(folders) or not inside:
            return [], np.zeros(0, np.int64)
        level = 0
        while inside[0][level + 1 :] and all(f[: level + 1] == inside[0][: level + 1] for f in inside):
            level += 1
        level = 0 if len(inside) < len(folders) else level
        if not all(len(folder) > level for folder in inside):
            return [], np.zeros(0, np.int64)
        names = class_folders({folder[level] for folder in inside}, self.samples.stores[0].path)
        number_of = {name: number for number, name in enumerate(names)}
        numbers = [number_of[folder[level]] if folder else -1 for folder in folders]
        return names, np.array(numbers, np.int64)

    def _raw(self, index: int, column: str) -> str | None:
        text = self.samples.text(index, column)
        if text is None or column == "cls":
            return text
        try:
            record = json.loads(text)
        except json.JSONDecodeError as error:
            raise InputError(f"{self.name(index)}.json is not JSON ({error})") from None
        label = record.get("label", record.get("cls")) if isinstance(record, dict) else None
        return None if label is None else str(int(label) if isinstance(label, bool) else label)


class Pixels:
    """Reads sample ``key.index`` as (3, size, size) uint8."""

    def __init__(
        self, samples: Samples, size: int, fit: Fit, scale: tuple[float, float], interpolation: Interpolation
    ) -> None:
        if fit not in get_args(Fit):
            raise InputError(f"fit is {fit!r}; choose one of {', '.join(get_args(Fit))}")
        if size < 1:
            raise InputError(f"size is {size}; wanted a number of pixels")
        if not 0 < scale[0] <= scale[1] <= 1:
            raise InputError(f"scale is {tuple(scale)}; wanted 0 < smallest <= largest <= 1")
        if interpolation not in get_args(Interpolation):
            raise InputError(f"interpolation is {interpolation!r}; choose one of {', '.join(get_args(Interpolation))}")
        self.samples, self.size, self.fit, self.scale = samples, size, fit, scale
        self.interpolation: Interpolation = interpolation

    def __call__(self, sample_key: SampleKey) -> Tensor:
        """The image, cropped with the key's randomness where ``fit`` is "random"."""
        try:
            data = self.samples.read(sample_key.index, "image")
        except UnreadableMemberError as error:
            raise ImageError(str(error)) from error
        assert data is not None  # every sample has an image
        random = self.fit == "random"
        at_least = int(1.5 * self.size / self.scale[0] ** 0.5) if random else 3 * self.size
        image = decode(data, at_least, self.samples.name(sample_key.index))  # (H, W, 3)
        if random:
            image = random_crop(
                image,
                self.size,
                np.random.default_rng(sample_key.to_int()),
                self.scale,
                interpolation=self.interpolation,
            )
        else:
            image = (crop if self.fit == "crop" else squash)(image, self.size, self.interpolation)
        return torch.from_numpy(np.require(image, requirements="W")).permute(2, 0, 1)  # (3, size, size)


def _beside(root: Root) -> str | None:
    if not isinstance(root, str | Path):
        return None
    folder = str(root) if os.path.isdir(root) else os.path.dirname(root)
    path = os.path.join(folder, "classes.txt")
    return path if os.path.isfile(path) else None
