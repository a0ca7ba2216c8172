"""Folders, tar files and zip files as numbered members that can be read at random, by any number of processes.

Only images and small text members are ever seen; nothing is unpacked to disk, unpickled or run.
"""

import glob
import hashlib
import os
import re
import tarfile
import warnings
import zipfile
import zlib
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Protocol

import numpy as np

from mmcontrast.data.io.decode import EXTENSIONS, MAX_BYTES
from mmcontrast.data.io.folders import files_in
from mmcontrast.errors import InputError

TEXTS = ("txt", "json", "cls")
Root = str | Path | Sequence[str | Path]
_CACHED_FROM = 256 << 20  # bytes of a tar from which its index is kept on disk
_UNPACKED_AT_MOST = 2 << 30  # bytes


class Store(Protocol):
    """Numbered members of one place."""

    path: str
    names: list[str]

    def read(self, member: int) -> bytes:
        """Contents of member number ``member``."""


def extension(name: str, first_dot: bool) -> tuple[str, str]:
    """A member's (key, lower-case extension), split at the file name's first dot as in shards, or at its last."""
    folder, _, file = name.rpartition("/")
    stem, _, suffix = file.partition(".") if first_dot else file.rpartition(".")
    return (f"{folder}/{stem}" if folder else stem), suffix.lower()


def wanted(name: str) -> bool:
    """Whether a member is an image, a text that samples are made of, or what a scene is described by."""
    suffix = name.rpartition(".")[2].lower()
    return suffix in EXTENSIONS or suffix in TEXTS or suffix == "yaml"


class Folder:
    """Files below a folder, or the listed ones."""

    def __init__(self, path: str | Path, names: Sequence[str] | None = None) -> None:
        self.path = str(path)
        self.names = list(names) if names is not None else [name for name in files_in(self.path) if wanted(name)]

    def read(self, member: int) -> bytes:
        """Contents of one file."""
        path = os.path.join(self.path, self.names[member])
        if os.path.getsize(path) > MAX_BYTES:
            raise InputError(f"{path}: has {os.path.getsize(path) >> 20} MB; at most {MAX_BYTES >> 20} MB are read")
        return Path(path).read_bytes()


class Tar:
    """Members of a tar file; a compressed one is unpacked in memory."""

    def __init__(self, path: str | Path) -> None:
        self.path = str(path)
        self._memory: bytes | None = None
        with open(path, "rb") as file:
            plain = file.read(262)[257:] == b"ustar"
        try:
            self.names, self._spans = _cached_index(self.path) if plain else self._unpack()
        except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
            raise InputError(f"{path}: not a complete tar file ({error}); fetch it again") from error
        if plain and len(self._spans) and self._spans[-1].sum() > os.path.getsize(path):
            raise InputError(f"{path}: not a complete tar file (it ends inside {self.names[-1]}); fetch it again")

    def read(self, member: int) -> bytes:
        """Contents of one member."""
        offset, size = self._spans[member].tolist()
        if self._memory is not None:
            return self._memory[offset : offset + size]
        return _pread(self.path, offset, size)

    def _unpack(self) -> tuple[list[str], np.ndarray]:
        names, spans, buffer = [], [], bytearray()
        with tarfile.open(self.path, "r|*") as tar:
            for member in _regular(tar):
                data = tar.extractfile(member)
                assert data is not None  # a regular file
                names.append(member.name)
                spans.append((len(buffer), member.size))
                if len(buffer) + member.size > _UNPACKED_AT_MOST:
                    raise InputError(f"{self.path}: unpacks to more than 2 GB; unpack it to a plain .tar first")
                buffer += data.read()
        self._memory = bytes(buffer)
        return names, np.array(spans, np.int64).reshape(-1, 2)


class Zip:
    """Members of a zip file, stored or deflated."""

    def __init__(self, path: str | Path) -> None:
        self.path = str(path)
        try:
            with zipfile.ZipFile(path) as archive:
                members = archive.infolist()
        except zipfile.BadZipFile as error:
            raise InputError(f"{path}: not a complete zip file ({error}); fetch it again") from error
        files = [m for m in members if not m.is_dir()]
        kept = [m for m in files if _safe(m.filename) and m.compress_type in (0, 8) and not m.flag_bits & 1]
        _warn_ignored(self.path, len(files) - len(kept))
        kept = [m for m in kept if wanted(m.filename)]
        self.names = [m.filename for m in kept]
        self._spans = [(m.header_offset, m.compress_size, m.compress_type) for m in kept]

    def read(self, member: int) -> bytes:
        """Contents of one member."""
        offset, size, method = self._spans[member]
        header = _pread(self.path, offset, 30)
        skip = 30 + int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little")
        data = _pread(self.path, offset + skip, size)
        return zlib.decompressobj(-15).decompress(data, MAX_BYTES) if method else data


def open_stores(root: Root) -> list[Store]:
    """Folders, shards, brace patterns ``{000..331}`` and ``{a,b}`` and ``*`` patterns -> the stores they name."""
    places = [root] if isinstance(root, str | Path) else list(root)
    paths = [path for place in places for pattern in braces(str(place)) for path in _matches(pattern)]
    stores: list[Store] = []
    for path in paths:
        shards = sorted(p for p in os.listdir(path) if _is_archive(p)) if os.path.isdir(path) else []
        if os.path.isdir(path) and not shards:
            stores.append(Folder(path))
        for shard in [os.path.join(path, name) for name in shards] or ([path] if os.path.isfile(path) else []):
            if not _is_archive(shard):
                raise InputError(f"{shard}: wanted a folder, or a .tar, .tar.gz or .zip file")
            stores.append(Zip(shard) if shard.lower().endswith(".zip") else Tar(shard))
    return stores


def braces(pattern: str) -> list[str]:
    """Shell braces: ``a{00..02}.tar`` -> three names, ``{x,y}/z`` -> two; several pairs multiply."""
    found = re.search(r"\{(?:(\d+)\.\.(\d+)|([^{}]*,[^{}]*))\}", pattern)
    if not found:
        return [pattern]
    first, last, names = found.groups()
    if names is None:
        if int(last) < int(first):
            raise InputError(f"{pattern}: counts down from {first} to {last}; write the smaller number first")
        parts = [str(i).zfill(len(first)) for i in range(int(first), int(last) + 1)]
    else:
        parts = names.split(",")
    return [result for part in parts for result in braces(pattern[: found.start()] + part + pattern[found.end() :])]


def _matches(pattern: str) -> list[str]:
    if pattern.startswith("pipe:") or "://" in pattern:
        raise InputError(f"{pattern}: commands and addresses are not read; fetch the shards, then give their paths")
    paths = sorted(glob.glob(pattern)) if not os.path.exists(pattern) and re.search(r"[*?\[]", pattern) else [pattern]
    if not paths or not os.path.exists(paths[0]):
        raise InputError(f"{pattern}: no such file or folder")
    return paths


def _is_archive(name: str) -> bool:
    return name.lower().endswith((".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".zip"))


def _safe(name: str) -> bool:
    return not name.startswith(("/", "\\")) and ".." not in PurePosixPath(name).parts


def _regular(tar: tarfile.TarFile):
    """Yields the wanted regular members; links, devices and names that leave the folder are ignored and counted."""
    ignored = 0
    for member in tar:
        if member.isreg() and _safe(member.name):
            if wanted(member.name):
                yield member
        elif not member.isdir():
            ignored += 1
        tar.members.clear()  # type: ignore[attr-defined]  # else it keeps every header it has seen
    _warn_ignored(str(tar.name), ignored)


def _warn_ignored(path: str, count: int) -> None:
    if count:
        warnings.warn(f"{path}: ignored {count} members (links, devices, or names outside the archive)", stacklevel=4)


def _index(path: str) -> tuple[list[str], np.ndarray]:
    with tarfile.open(path, "r:") as tar:
        found = [(m.name, m.offset_data, m.size) for m in _regular(tar)]
    return [name for name, _, _ in found], np.array([span for _, *span in found], np.int64).reshape(-1, 2)


def _cached_index(path: str) -> tuple[list[str], np.ndarray]:
    """The index of a large tar is kept in the user's cache, under the file's path, size and time of change."""
    status = os.stat(path)
    if status.st_size < _CACHED_FROM:
        return _index(path)
    identity = f"2 {os.path.realpath(path)} {status.st_size} {status.st_mtime_ns}"
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mmcontrast" / "shards"
    target = folder / f"{hashlib.sha256(identity.encode()).hexdigest()[:32]}.npz"
    if target.exists():
        with np.load(target, allow_pickle=False) as saved:
            return bytes(saved["names"]).decode().split("\n"), saved["spans"]
    names, spans = _index(path)
    if not any("\n" in name for name in names):
        folder.mkdir(parents=True, exist_ok=True)
        partial = target.with_suffix(f".{os.getpid()}.npz")
        np.savez(partial, names=np.frombuffer("\n".join(names).encode(), np.uint8), spans=spans)
        partial.replace(target)
    return names, spans


class _File:
    def __init__(self, path: str) -> None:
        self.descriptor = os.open(path, os.O_RDONLY)

    def __del__(self) -> None:
        os.close(self.descriptor)


@lru_cache(maxsize=128)
def _open(path: str, process: int) -> _File:
    return _File(path)


def _pread(path: str, offset: int, size: int) -> bytes:
    data = os.pread(_open(path, os.getpid()).descriptor, size, offset)
    if len(data) != size:
        raise InputError(f"{path}: ends at byte {offset + len(data)}, inside a member; fetch it again")
    return data
