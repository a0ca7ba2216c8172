"""Members grouped to samples: an image and the texts that belong to it."""

import re
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from mmcontrast.data.io.archives import TEXTS, Folder, Root, Store, extension, open_stores
from mmcontrast.data.io.decode import EXTENSIONS
from mmcontrast.errors import InputError

_COLUMNS = ("image", *TEXTS)
_SAME = {"jpeg": "jpg", "tiff": "tif"}
_Texts = dict[str, dict[str, int]]  # key -> column -> member


class Samples:
    """Images with their texts, numbered across all stores of a root.

    In shards, members with the same path up to the first dot of the file name form one sample (WebDataset's
    convention). Numbers between dots belong to the key, as in ``cat.0.png``, and a word between dots names a column, as
    in ``000.input.jpg``. In folders every image is a sample, and texts of the same name belong to it.

    Args:
        root: A folder, a .tar, .tar.gz or .zip file, a folder of those, a pattern (``{00..31}``, ``*``), or several.

    Attributes:
        stores: The folders and archives.
        keys: (N,) bytes, the keys of the samples.
        members: (N, 4) members of each sample's image, txt, json and cls in its store; -1 where it has none.
        starts: The index of the first sample of each store, and N.

    Raises:
        InputError: The root holds no images, or a shard holds a key twice.
    """

    def __init__(self, root: Root) -> None:
        self.stores = open_stores(root)
        groups = [_group(store) for store in self.stores]
        self.keys = np.concatenate([keys for keys, _ in groups])
        self.members = np.concatenate([members for _, members in groups])
        self.starts = np.cumsum([0] + [len(keys) for keys, _ in groups])
        if not len(self.keys):
            raise InputError(f"{root}: holds no images ({', '.join(EXTENSIONS)})")

    @classmethod
    def of_files(cls, folder: str, names: Sequence[str]) -> "Samples":
        """Returns the listed images of a folder, each as a sample without texts.

        Args:
            folder: The folder.
            names: Paths of the images, relative to the folder.
        """
        samples = cls.__new__(cls)
        samples.stores = [Folder(folder, names)]
        samples.keys = np.array([_encode(name) for name in names])
        samples.members = np.full((len(names), len(_COLUMNS)), -1)
        samples.members[:, 0] = np.arange(len(names))
        samples.starts = np.array([0, len(names)])
        return samples

    def __len__(self) -> int:
        return len(self.keys)

    def has(self, column: str) -> bool:
        """Returns whether any sample has a member in the column "image", "txt", "json" or "cls"."""
        return bool((self.members[:, _COLUMNS.index(column)] >= 0).any())

    def key(self, index: int) -> str:
        """Returns a sample's name inside its folder or shard; in shards it has no extension."""
        return bytes(self.keys[index]).decode(errors="surrogateescape")

    def name(self, index: int) -> str:
        """Returns what messages call the sample."""
        return f"{self._store(index).path}: {self.key(index)}"

    def read(self, index: int, column: str) -> bytes | None:
        """Returns a member's bytes, or None where the sample has none.

        Args:
            index: Index of the sample.
            column: "image", "txt", "json" or "cls".

        Raises:
            UnreadableMemberError: The member cannot be read.
        """
        member = int(self.members[index, _COLUMNS.index(column)])
        return None if member < 0 else self._store(index).read(member)

    def text(self, index: int, column: str) -> str | None:
        """Returns a member as text, or None where the sample has none; see ``read``.

        Args:
            index: Index of the sample.
            column: "txt", "json" or "cls".

        Raises:
            InputError: The text is not UTF-8.
        """
        data = self.read(index, column)
        if data is None:
            return None
        try:
            return data.decode("utf-8-sig").strip()
        except UnicodeDecodeError:
            raise InputError(f"{self.name(index)}.{column} is not UTF-8 text") from None

    def _store(self, index: int) -> Store:
        return self.stores[int(np.searchsorted(self.starts, index, side="right")) - 1]


def _group(store: Store) -> tuple[npt.NDArray[np.bytes_], npt.NDArray[np.int64]]:
    """Returns the keys of a store's samples and their members, one a column."""
    images, texts = _images_of_folder(store) if isinstance(store, Folder) else _images_of_shard(store)
    rows = []
    for name, image in images.items():
        own = texts.get(extension(name, first_dot=False)[0] if isinstance(store, Folder) else name, {})
        rows.append([image, *(own.get(column, -1) for column in TEXTS)])
    keys = np.array([_encode(key) for key in images] or [], dtype=np.bytes_)
    return keys, np.array(rows, np.int64).reshape(-1, len(_COLUMNS))


def _images_of_folder(store: Store) -> tuple[dict[str, int], _Texts]:
    images: dict[str, int] = {}
    texts: _Texts = {}
    for member, name in enumerate(store.names):
        key, suffix = extension(name, first_dot=False)
        if suffix in EXTENSIONS:
            images[name] = member
        elif suffix in TEXTS:
            _add(store, texts, key, suffix, member)
    return images, texts


def _images_of_shard(store: Store) -> tuple[dict[str, int], _Texts]:
    """Returns image members and text members by key; of several kinds of image, the first of EXTENSIONS is taken."""
    columns: dict[str, dict[str, int]] = {}
    worded: dict[str, dict[str, int]] = {}
    for member, name in enumerate(store.names):
        key, suffix = _shard_key(name)
        column, _, kind = suffix.rpartition(".")
        if kind in EXTENSIONS or kind in TEXTS:
            _add(store, worded if column else columns, key, suffix, member)
    images: dict[str, int] = {}
    for key in dict.fromkeys([*columns, *worded]):
        suffixes = [s for s in columns.get(key, {}) if s in EXTENSIONS]
        if suffixes:  # KEY.png beside KEY.jpg is a mask
            images[key] = columns[key][min(suffixes, key=EXTENSIONS.index)]
        elif inputs := [s for s in worded.get(key, {}) if s.rpartition(".")[2] in EXTENSIONS]:
            if len(inputs) > 1:
                raise InputError(
                    f"{store.path}: sample {key} has {len(inputs)} images ({', '.join(inputs)}) and none of them is "
                    f"{key}.jpg; give the one that is wanted this name"
                )
            images[key] = worded[key][inputs[0]]
    return images, columns


def _shard_key(name: str) -> tuple[str, str]:
    """Splits ``a.0.png`` to ("a.0", "png") and ``a.input.png`` to ("a", "input.png")."""
    key, suffix = extension(name, first_dot=True)
    numbers = re.match(r"(?:\d+\.)+", suffix)
    return (f"{key}.{numbers[0][:-1]}", suffix[numbers.end() :]) if numbers else (key, suffix)


def _add(store: Store, groups: dict[str, dict[str, int]], key: str, suffix: str, member: int) -> None:
    group = groups.setdefault(key, {})
    if any(_SAME.get(other, other) == _SAME.get(suffix, suffix) for other in group):
        raise InputError(
            f"{store.path}: holds the key {key!r} twice ({store.names[member]}), so that images and texts cannot be "
            "told apart; write the shard anew with keys of their own"
        )
    group[suffix] = member


def _encode(name: str) -> bytes:
    return name.encode(errors="surrogateescape")
