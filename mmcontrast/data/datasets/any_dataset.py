"""Data sets of other libraries, as samples with keys."""

import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset, IterableDataset

from mmcontrast.data.io.resize import crop
from mmcontrast.data.sampler import SampleKey
from mmcontrast.errors import InputError

# Names that other libraries give to entries of their samples -> the names here.
_NAMES = {
    **dict.fromkeys(("image", "img", "pixel_values", "jpg", "png"), "image"),
    **dict.fromkeys(("label", "labels", "fine_label", "target", "cls"), "label"),
    **dict.fromkeys(("text", "caption", "captions", "txt"), "text"),
}
_LARGEST = 256


class AnyDataset(Dataset[dict[str, Any]]):
    """Samples of a map-style data set of any library, such as torchvision's or Hugging Face's.

    A sample of that data set is an image, a tuple (image, label) or (image, caption), or a dictionary with an image and
    perhaps a label and captions. A sample here is ``image`` (3, size, size) uint8 (a float tensor stays as it is),
    ``label`` int and ``text`` where there are any, and ``sample_key`` int. Random transforms inside the data set are
    seeded by the key, so that a resumed run draws the same ones.

    Args:
        data: Has a length and takes indices.
        size: Side of the square that PIL images and uint8 arrays are cropped to, in pixels; None takes the shorter
            side of the first image, at most 256.

    Raises:
        InputError: The data set is a stream, is empty, or its samples hold no image.

    >>> from PIL import Image
    >>> AnyDataset([(Image.new("RGB", (40, 32)), 7)])[0]["image"].shape
    torch.Size([3, 32, 32])
    """

    def __init__(self, data: Any, size: int | None = None) -> None:
        if isinstance(data, IterableDataset) or not (hasattr(data, "__getitem__") and hasattr(data, "__len__")):
            raise InputError(
                f"{type(data).__name__} is a stream without length or indices; give a map-style data set, or a list of "
                f"its first samples: list(itertools.islice(data, 10000))"
            )
        if len(data) == 0:
            raise InputError(f"the {type(data).__name__} has no samples")
        self.data, self.size = data, size
        if size is None:
            image = _entries(data[0]).get("image")
            if isinstance(image, Tensor) and image.is_floating_point():
                height, width = image.shape[-2:]
            else:
                height, width = _pixels(image, type(data).__name__).shape[:2]
            self.size = min(height, width, _LARGEST)

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, sample_key: int | SampleKey) -> dict[str, Any]:
        sample_key = SampleKey.of(sample_key)
        seed = sample_key.to_int()
        with _seeded(seed):
            entries = _entries(self.data[sample_key.index])
        image = entries.get("image")
        if not (isinstance(image, Tensor) and image.is_floating_point()):
            assert self.size is not None
            pixels = crop(_pixels(image, type(self.data).__name__), self.size)
            image = torch.from_numpy(np.require(pixels, requirements="W")).permute(2, 0, 1)
        sample = {"sample_key": seed, "image": image}
        if "label" in entries:
            sample["label"] = int(entries["label"])
        if "text" in entries:
            text = entries["text"]
            sample["text"] = text if isinstance(text, str) else str(text[seed % len(text)])
        return sample

    def name(self, index: int) -> str:
        """Returns what messages call a sample."""
        return f"sample {index}"


class Subset(Dataset[dict[str, Any]]):
    """A random choice of samples that is always the same.

    Args:
        data: Takes keys.
        limit: Number of samples, at most.
        seed: Seed of the choice.
    """

    def __init__(self, data: Any, limit: int, seed: int = 0) -> None:
        order = torch.randperm(len(data), generator=torch.Generator().manual_seed(seed))
        self.data, self.indices = data, sorted(order[:limit].tolist())

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, sample_key: int | SampleKey) -> dict[str, Any]:
        sample_key = SampleKey.of(sample_key)
        sample = self.data[sample_key._replace(index=self.indices[sample_key.index])]
        return {**sample, "sample_key": sample_key.to_int()}

    def name(self, index: int) -> str:
        """Returns what messages call a sample."""
        name = getattr(self.data, "name", None)
        return str(name(self.indices[index])) if name else f"sample {self.indices[index]}"


def takes_keys(data: Any) -> bool:
    """Returns whether the samples of a data set are dictionaries with ``sample_key``, as those of this package are.

    A class derived from a data set of this package counts as one. Reads a sample only of data sets of other packages.
    """
    if any(kind.__module__.startswith("mmcontrast.") for kind in type(data).__mro__):
        return True
    try:
        sample = data[0]
    except Exception:
        return False
    return isinstance(sample, Mapping) and "sample_key" in sample


def _entries(sample: Any) -> dict[str, Any]:
    """Returns the image, label and text of a sample of another library."""
    if isinstance(sample, Mapping):
        named = {_NAMES[name]: value for name, value in sample.items() if name in _NAMES and value is not None}
    elif isinstance(sample, tuple | list):
        named = {"image": sample[0]} if sample else {}
        for value in sample[1:2]:
            is_text = isinstance(value, str) or (isinstance(value, Sequence) and value and isinstance(value[0], str))
            if is_text or isinstance(value, int | np.integer) or (isinstance(value, Tensor) and value.ndim == 0):
                named["text" if is_text else "label"] = value
    else:
        named = {"image": sample}
    return named


def _pixels(image: Any, source: str) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Returns an image as (H, W, 3) uint8."""
    if isinstance(image, Image.Image):
        return np.asarray(image.convert("RGB"))
    array = image.permute(1, 2, 0).numpy() if isinstance(image, Tensor) and image.ndim == 3 else image
    if isinstance(array, np.ndarray) and array.shape[2:] == (3,) and array.dtype == np.uint8:
        return array
    what = "no image" if image is None else f"a {type(image).__name__} as image"
    raise InputError(f"a sample of {source} has {what}; wanted a PIL image, (H, W, 3) uint8 or a (3, H, W) tensor")


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Seeds the global generators that transforms draw from, and restores them afterwards."""
    python, numpy, own = random.getstate(), np.random.get_state(), torch.random.get_rng_state()  # noqa: NPY002
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002
    torch.manual_seed(seed)
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)  # noqa: NPY002
        torch.random.set_rng_state(own)
