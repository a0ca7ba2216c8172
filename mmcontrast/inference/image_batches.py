"""The kinds of images that predictors take, and batches of them that threads read ahead."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Generic, Literal, NamedTuple, TypedDict, TypeVar

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from mmcontrast.data.io.decode import EXTENSIONS, load
from mmcontrast.data.io.folders import files_in
from mmcontrast.data.io.resize import Interpolation
from mmcontrast.encoders.base import Encoder
from mmcontrast.errors import InputError

SUFFIXES = frozenset(f".{extension}" for extension in EXTENSIONS)
ImageSource = str | Path | bytes | Image.Image | np.ndarray[Any, Any] | Tensor
ImageSources = ImageSource | os.PathLike[str] | Iterable[ImageSource | os.PathLike[str]]
Item = TypeVar("Item")
Read = TypeVar("Read")


@dataclass(frozen=True)
class ReadItem(Generic[Item, Read]):
    """An item and what was read of it, or one sentence that says why it cannot be read."""

    item: Item
    value: Read | None = None
    error: str | None = None


class Batch(NamedTuple):
    """Consecutive images.

    Attributes:
        image: (B', 3, S, S) uint8, the readable images in order.
        errors: B entries, one per image: None if it is readable, else one sentence that says why it is not.
    """

    image: Tensor
    errors: list[str | None]


def image_files(*paths: str | os.PathLike[str]) -> list[Path]:
    """Returns files as they are and folders as the image files in them, each path once.

    Args:
        paths: Files and folders; a folder's files come at any depth, in the order of ``files_in``.
    """
    files: dict[Path, None] = {}
    for path in map(Path, paths):
        files.update(dict.fromkeys(_files_inside(path) if path.is_dir() else [path]))
    return list(files)


def _files_inside(folder: Path) -> list[Path]:
    return [folder / name for name in files_in(folder) if Path(name).suffix.lower() in SUFFIXES]


def iterate_images(images: Any) -> Iterator[Any]:
    """Yields image by image.

    Args:
        images: One image, a folder, an (N, H, W, 3) array or (N, 3, H, W) tensor, or an iterable of any of these.

    Yields:
        Single images. An object of another kind is yielded as it is; ``read_image`` refuses it.
    """
    if isinstance(images, str | os.PathLike):
        if os.path.isdir(images):
            yield from image_files(images)
        else:
            yield images
    elif isinstance(images, np.ndarray | Tensor) and images.ndim == 4:
        yield from images
    elif isinstance(images, Image.Image | bytes | np.ndarray | Tensor) or not isinstance(images, Iterable):
        yield images
    else:
        for image in images:
            yield from iterate_images(image)


def read_image(image: Any, read: Callable[[Any], Read]) -> Read:
    """Returns ``read(image)``.

    Raises:
        InputError: The object is of a kind that is never an image, or ``read`` refuses it.
    """
    if not isinstance(image, str | os.PathLike | bytes | Image.Image | np.ndarray | Tensor):
        raise InputError(
            f"a {type(image).__name__} is no image; give a path, a PIL image, a uint8 array (H, W, 3), "
            "a uint8 tensor (3, H, W), or several of them"
        )
    return read(Path(image) if isinstance(image, os.PathLike) else image)


class Preprocessing(TypedDict):
    """How images become squares: arguments of ``mmcontrast.data.io.decode.load`` and of the data sets."""

    size: int
    fit: Literal["crop", "squash"]
    interpolation: Interpolation


def preprocessing(encoder: Encoder) -> Preprocessing:
    """Returns the preprocessing that an encoder's pooled output was trained with.

    The interpolation is bicubic if the encoder asks for one that is not implemented.
    """
    return {
        "size": encoder.image_size,
        "fit": "squash" if encoder.crop == "squash" else "crop",
        "interpolation": "bilinear" if encoder.interpolation == "bilinear" else "bicubic",
    }


def image_batches(images: ImageSources, encoder: Encoder, batch_size: int) -> Iterator[Batch]:
    """Yields images of any kind as square batches for an encoder's pooled output."""
    read = partial(read_image, read=partial(load, **preprocessing(encoder)))
    return read_ahead(read, iterate_images(images), batch_size)


def read_ahead(
    read: Callable[[Item], Tensor], items: Iterable[Item], batch_size: int, ahead: int = 2
) -> Iterator[Batch]:
    """Yields batches in the order of ``items`` while threads read the next ones.

    Args:
        read: Reads one item as (3, S, S) uint8. An ``InputError`` that it raises becomes an entry of ``errors``.
        items: The items. They are consumed no further than needed.
        batch_size: Number of items in a batch; the last batch may have fewer.
        ahead: Number of batches that are read before the caller needs them.

    Yields:
        The batches.
    """
    for batch in read_items(read, items, batch_size, ahead):
        images = [entry.value for entry in batch if entry.value is not None]
        image = torch.stack(images) if images else torch.empty(0, 3, 0, 0, dtype=torch.uint8)
        yield Batch(image, [entry.error for entry in batch])


def read_items(
    read: Callable[[Item], Read], items: Iterable[Item], batch_size: int, ahead: int = 2
) -> Iterator[list[ReadItem[Item, Read]]]:
    """Yields batches of items and what was read of them; see ``read_ahead``, which stacks tensors."""

    def attempt(item: Item) -> ReadItem[Item, Read]:
        try:
            return ReadItem(item, read(item))
        except InputError as error:
            return ReadItem(item, error=str(error))

    source, pending = iter(items), deque[Future[ReadItem[Item, Read]]]()
    threads = ThreadPoolExecutor(min(8, os.cpu_count() or 1), thread_name_prefix="read-ahead")

    def submit(count: int) -> None:
        pending.extend(threads.submit(attempt, item) for item in islice(source, count))

    try:
        submit(ahead * batch_size)
        while pending:
            batch = []
            for _ in range(min(batch_size, len(pending))):
                batch.append(pending.popleft().result())
                submit(1)
            yield batch
    finally:
        threads.shutdown(wait=False, cancel_futures=True)


def to_float(image: Tensor, device: torch.device) -> Tensor:
    """Returns uint8 pixels of the CPU as float32 in [0, 1] on ``device``.

    The bytes travel as uint8 from pinned memory, without a wait for the device.
    """
    if device.type == "cuda":
        image = image.pin_memory()
    return image.to(device, non_blocking=True).float().div_(255)
