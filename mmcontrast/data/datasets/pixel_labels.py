"""Images with a class for every pixel, from shards and folders."""

import io
import os

import numpy as np
import numpy.typing as npt
from PIL import Image

from mmcontrast.data.datasets.prompt_templates import read_classnames
from mmcontrast.data.io.archives import Folder, Root, Store, extension, open_stores
from mmcontrast.data.io.decode import EXTENSIONS, check_size, decode
from mmcontrast.data.io.folders import natural_order
from mmcontrast.errors import InputError

MASK_FOLDERS = ("mask", "label", "annot", "seg")  # a folder whose name contains one of these holds classes
MASK_FORMATS = ("PNG", "BMP", "DIB", "GIF", "TIFF", "PPM", "WEBP", "JPEG")


class PixelLabels:
    """Images and the classes of their pixels, in the order of their names.

    In a shard KEY.png beside KEY.jpg holds the classes of its pixels. In a folder they are beside the image in the same
    way, or under the same name in a folder whose name contains "mask", "label", "annot" or "seg".

    Args:
        root: A folder, a .tar, .tar.gz or .zip file, a folder of those, a pattern, or several.

    Raises:
        InputError: No image has classes.
    """

    def __init__(self, root: Root) -> None:
        self.stores = open_stores(root)
        self._pairs = [(store, *pair) for store in self.stores for pair in _pairs(store)]
        self.keys = [store.names[image].encode() for store, image, _ in self._pairs]
        if not self._pairs:
            raise InputError(f"{root}: no image with its classes (KEY.png beside KEY.jpg, or a folder of masks)")
        path = str(root) if isinstance(root, str | os.PathLike) else ""
        names = os.path.join(path if os.path.isdir(path) else os.path.dirname(path), "classes.txt")
        self.classes = list(_names(names)) if path and os.path.isfile(names) else []

    def __len__(self) -> int:
        return len(self._pairs)

    def name(self, index: int) -> str:
        """Returns the file of an image, for messages."""
        store, image, _ = self._pairs[index]
        return f"{store.path}: {store.names[image]}"

    def image(self, index: int) -> npt.NDArray[np.uint8]:
        """Returns an image, (H, W, 3) uint8."""
        store, image, _ = self._pairs[index]
        return decode(store.read(image), name=self.name(index))

    def labels(self, index: int) -> npt.NDArray[np.int64]:
        """Returns the classes of an image's pixels, (H, W).

        Raises:
            InputError: The file is not an image with one number per pixel.
        """
        store, _, mask = self._pairs[index]
        name = f"{store.path}: {store.names[mask]}"
        data = store.read(mask)
        try:
            with Image.open(io.BytesIO(data), formats=MASK_FORMATS) as image:
                check_size(*image.size)
                mode, classes = image.mode, np.array(image)
        except InputError as error:
            raise InputError(f"{name}: {error}") from None
        except Exception as error:  # decoders meet hostile bytes and raise whatever they like
            raise InputError(f"{name}: cannot be read as class numbers ({error or type(error).__name__})") from error
        if mode not in ("L", "P", "1") and not mode.startswith("I"):
            raise InputError(f"{name}: has {mode} pixels; wanted one class number a pixel (gray or palette)")
        return classes.astype(np.int64)


def _pairs(store: Store) -> list[tuple[int, int]]:
    """Returns the indices of the members that hold an image and its classes."""
    shard = not isinstance(store, Folder)
    images: dict[str, int] = {}
    masks: dict[str, int] = {}
    members_of: dict[str, list[int]] = {}
    for member, name in enumerate(store.names):
        key, suffix = extension(name, first_dot=shard)
        if suffix not in EXTENSIONS:
            continue
        folder, _, stem = key.rpartition("/")
        if any(word in folder.lower() for word in MASK_FOLDERS):
            masks[stem] = member
        else:
            images[stem] = member
            members_of.setdefault(key, []).append(member)
    pairs = [(images[stem], masks[stem]) for stem in images if stem in masks]
    for members in members_of.values():
        png = [m for m in members if store.names[m].lower().endswith(".png")]
        if len(members) == 2 and len(png) == 1:
            pairs.append((members[0] if members[1] == png[0] else members[1], png[0]))
    return sorted(pairs, key=lambda pair: natural_order(store.names[pair[0]]))


def _names(file: str) -> list[str]:
    names = read_classnames(file)
    return list(names.values() if isinstance(names, dict) else names)
