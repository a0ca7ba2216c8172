"""Features of a whole data set, computed once and stored in shards, so that an interrupted run can continue."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from tqdm import tqdm

from mmcontrast.data.datasets.image_text import ImageText
from mmcontrast.data.datasets.images import Images
from mmcontrast.data.io.samples import Samples
from mmcontrast.data.sampler import SampleKey
from mmcontrast.inference.cache import cache_directory, content_key, fingerprint, load_array, save_array
from mmcontrast.inference.image_batches import read_ahead, to_float

SHARD_SIZE = 4096  # images
_UNREADABLE = -torch.inf  # fills the rows of images that cannot be read


ImageData = Images | ImageText
Embed = Callable[[Tensor], Tensor]
Indices = npt.NDArray[np.integer[Any]]


class Features(NamedTuple):
    """The features of a data set.

    Attributes:
        vectors: (N, D) float32 on the CPU.
        indices: (N,) int64, the index of each row's sample in the data set.
        unreadable: The names of the samples that could not be read; they have no row.
    """

    vectors: Tensor
    indices: Tensor
    unreadable: list[str]


def extract(
    module: nn.Module,
    embed: Embed,
    images: ImageData,
    batch_size: int = 64,
    cache: Path | bool = True,
    progress: bool = False,
    indices: Indices | None = None,
) -> Features:
    """Returns the features of images, computed on the module's device in evaluation mode and without gradients.

    Args:
        module: The module that ``embed`` computes with. Its content is part of the cache's key, and its training mode
            is restored at the end.
        embed: Returns the features (B, D) of images (B, 3, S, S) in [0, 1].
        images: The data set. Its images are decoded in background threads.
        batch_size: Number of images that are embedded at once.
        cache: A folder, True for the user's cache folder, False for none.
        progress: Whether to draw a progress bar on the terminal.
        indices: (N,) the samples to embed. None stands for all.
    """
    selected: Indices = np.arange(len(images)) if indices is None else indices
    folder = _cache_folder(module, embed, images, indices, cache)
    shards: list[Tensor] = []
    bar = tqdm(total=len(selected), unit="image", disable=None if progress else True, leave=False)
    with bar, evaluating(module):
        for start in range(0, len(selected), SHARD_SIZE):
            part = selected[start : start + SHARD_SIZE]
            file = folder / f"{start:09d}.npy" if folder else None
            stored = load_array(file) if file else None
            if stored is not None and len(stored) == len(part):
                bar.update(len(part))
                shards.append(stored)
                continue
            shards.append(_embed_shard(module, embed, images, part, batch_size, bar))
            if file:
                save_array(file, shards[-1])
    return _features(shards, selected, images)


def _features(shards: list[Tensor], selected: Indices, images: ImageData) -> Features:
    """Returns the rows of all shards without those of unreadable images."""
    width = max(shard.shape[1] for shard in shards)
    vectors = torch.cat([shard.expand(-1, width) for shard in shards])  # (N, D)
    readable = vectors[:, 0] != _UNREADABLE
    rows = torch.from_numpy(selected)
    return Features(vectors[readable], rows[readable], [images.name(index) for index in rows[~readable].tolist()])


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Sets evaluation mode without gradients; at the end every part is in the mode that it was in."""
    modes = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        with torch.inference_mode():
            yield
    finally:
        for part, training in modes:
            part.training = training


def _cache_folder(
    module: nn.Module, embed: Embed, images: ImageData, indices: Indices | None, cache: Path | bool
) -> Path | None:
    """Returns the folder of these features, whose name is a hash of all that they depend on."""
    if cache is False:
        return None
    pixels = images.pixels
    function = f"{getattr(embed, '__qualname__', embed)} {pixels.size} {pixels.fit} {pixels.interpolation}"
    parts = ["features 1", fingerprint(module), function, *_identity(images.samples)]
    key = content_key(parts + ([] if indices is None else [str(indices.tolist())]))
    return (cache_directory() if cache is True else Path(cache)) / "features" / key


def _embed_shard(
    module: nn.Module, embed: Embed, images: ImageData, indices: Indices, batch_size: int, bar: "tqdm[Any]"
) -> Tensor:
    """Returns the features (B, D) of some samples; the rows of unreadable ones are filled with a mark."""
    device = next(chain(module.parameters(), module.buffers())).device
    blocks: list[Tensor] = []
    readable: list[bool] = []
    for image, errors in read_ahead(lambda index: images.pixels(SampleKey(index)), indices.tolist(), batch_size):
        if len(image):
            blocks.append(embed(to_float(image, device)).float())
        readable += [error is None for error in errors]
        bar.update(len(errors))
    vectors = torch.cat(blocks).cpu() if blocks else torch.empty(0, 1)
    shard = torch.full((len(indices), vectors.shape[1]), _UNREADABLE)
    shard[torch.tensor(readable)] = vectors
    return shard


def _identity(samples: Samples) -> Iterator[str]:
    """Yields the names, sizes and times of the files that the images are read from."""
    for store in samples.stores:
        files = [os.path.join(store.path, name) for name in store.names] if os.path.isdir(store.path) else [store.path]
        for file in files:
            status = os.stat(file)
            yield f"{os.path.abspath(file)} {status.st_size} {status.st_mtime_ns}"
    yield from (key.decode("utf-8", "surrogateescape") for key in samples.keys)
