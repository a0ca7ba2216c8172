"""Folders, tar files and zip files as numbered members that any number of threads and processes read at random.

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
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from mmcontrast.data.io.decode import EXTENSIONS
from mmcontrast.data.io.folders import braces, files_in, is_hidden, natural_order, refuse_special_file
from mmcontrast.data.io.random_access import UnreadableMemberError, check_bytes, read_span, version_of
from mmcontrast.errors import InputError

TEXTS = ("txt", "json", "cls")
Root = str | Path | Sequence[str | Path]
_CACHED_FROM = 256 << 20  # bytes of a tar from which its index is kept on disk
_UNPACKED_AT_MOST = 2 << 30  # bytes
_Index = tuple[list[str], npt.NDArray[np.int64]]  # names; (N, 2) offset and size in bytes


class _ZipSpan(NamedTuple):
    offset: int  # bytes, of the local header
    stored: int  # bytes in the archive
    size: int  # bytes of the contents
    method: int
    checksum: int


class Store(Protocol):
    """Numbered members of one folder or archive.

    Attributes:
        path: Path of the folder or archive.
        names: Names of the members, with "/".
    """

    path: str
    names: list[str]

    def read(self, member: int) -> bytes:
        """Returns the contents of a member.

        Args:
            member: Index of the member in ``names``.

        Raises:
            UnreadableMemberError: The member is missing, damaged or too large.
        """


def extension(name: str, first_dot: bool) -> tuple[str, str]:
    """Splits a member's name into its key and its extension in lower case.

    Args:
        name: The member's name, with "/".
        first_dot: Whether to split at the file name's first dot, as in shards, or at its last.

    Returns:
        The name up to the dot, and what follows the dot.
    """
    folder, _, file = name.rpartition("/")
    stem, _, suffix = file.partition(".") if first_dot else file.rpartition(".")
    return (f"{folder}/{stem}" if folder else stem), suffix.lower()


def wanted(name: str) -> bool:
    """Returns whether a member is an image, a text that samples are made of, or a description of a scene."""
    suffix = name.rpartition(".")[2].lower()
    return (suffix in EXTENSIONS or suffix in TEXTS or suffix == "yaml") and not is_hidden(name)


class Folder:
    """Files below a folder, or the listed ones.

    Args:
        path: The folder.
        names: Files relative to the folder; all that are wanted if not given.
    """

    def __init__(self, path: str | Path, names: Sequence[str] | None = None) -> None:
        self.path = str(path)
        self.names = list(names) if names is not None else [name for name in files_in(self.path) if wanted(name)]

    def read(self, member: int) -> bytes:
        """Returns the contents of a file; see ``Store``."""
        path = os.path.join(self.path, self.names[member])
        try:
            refuse_special_file(path)
            check_bytes(path, os.path.getsize(path))
            return Path(path).read_bytes()
        except UnreadableMemberError:
            raise
        except InputError as error:
            raise UnreadableMemberError(str(error)) from None
        except FileNotFoundError:
            reason = "is a link to a missing file" if os.path.islink(path) else "no such file"
            raise UnreadableMemberError(f"{path}: {reason}") from None
        except ValueError:  # a table of captions may hold any name
            raise UnreadableMemberError(f"{path!r}: no file can have this name") from None
        except OSError as error:
            raise UnreadableMemberError(f"{path}: cannot be read ({error.strerror})") from error


class Tar:
    """Members of a tar file; a compressed one is unpacked in memory.

    Args:
        path: The file.

    Raises:
        InputError: The file is not a complete tar file.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = str(path)
        self._memory: bytes | None = None
        with open(path, "rb") as file:
            plain = file.read(262)[257:] == b"ustar"
        self._version = version_of(self.path)
        try:
            self.names, self._spans = _cached_index(self.path) if plain else self._unpack()
        except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
            raise InputError(f"{path}: not a complete tar file ({error}); fetch it again") from error
        if plain and len(self._spans) and self._spans[-1].sum() > os.path.getsize(path):
            raise InputError(f"{path}: not a complete tar file (it ends inside {self.names[-1]}); fetch it again")

    def read(self, member: int) -> bytes:
        """Returns the contents of a member; see ``Store``."""
        offset, size = self._spans[member].tolist()
        if self._memory is not None:
            return self._memory[offset : offset + size]
        check_bytes(f"{self.path}: {self.names[member]}", size)
        return read_span(self.path, self._version, offset, size)

    def _unpack(self) -> "_Index":
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
    """Members of a zip file, stored or deflated.

    Args:
        path: The file.

    Raises:
        InputError: The file is not a complete zip file.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = str(path)
        self._version = version_of(self.path)
        try:
            with zipfile.ZipFile(path) as archive:
                members = archive.infolist()
        except zipfile.BadZipFile as error:
            raise InputError(f"{path}: not a complete zip file ({error}); fetch it again") from error
        files = [m for m in members if not m.is_dir()]
        readable = [m for m in files if _safe(m.filename) and m.compress_type in (0, 8) and not m.flag_bits & 1]
        _warn_ignored(self.path, len(files) - len(readable))
        readable = [m for m in readable if wanted(m.filename)]
        self.names = [m.filename for m in readable]
        self._spans = [
            _ZipSpan(m.header_offset, m.compress_size, m.file_size, m.compress_type, m.CRC) for m in readable
        ]

    def read(self, member: int) -> bytes:
        """Returns the contents of a member; see ``Store``."""
        span, name = self._spans[member], f"{self.path}: {self.names[member]}"
        check_bytes(name, max(span.stored, span.size))
        header = read_span(self.path, self._version, span.offset, 30)
        skip = 30 + int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little")
        data = read_span(self.path, self._version, span.offset + skip, span.stored)
        try:
            data = zlib.decompressobj(-15).decompress(data, span.size + 1) if span.method else data
        except zlib.error as error:
            raise UnreadableMemberError(f"{name}: is damaged ({error})") from error
        if len(data) != span.size or zlib.crc32(data) != span.checksum:
            raise UnreadableMemberError(f"{name}: is damaged (its checksum does not fit)")
        return data


def open_stores(root: Root) -> list[Store]:
    """Opens folders and archives.

    Args:
        root: A folder, a shard, a folder of shards, a pattern with braces ``{000..331}``, ``{a,b}`` or ``*``, or
            several of them.

    Returns:
        One store for each folder or archive; those of a pattern or folder come in natural order.

    Raises:
        InputError: There is no such file, or it is of another kind.
    """
    roots = [root] if isinstance(root, str | Path) else list(root)
    paths = [path for entry in roots for pattern in braces(str(entry)) for path in _matches(pattern)]
    stores: list[Store] = []
    for path in paths:
        if os.path.isdir(path):
            shards = [os.path.join(path, name) for name in _archives_in(path)]
            stores += [_open_archive(shard) for shard in shards] if shards else [Folder(path)]
        else:
            stores.append(_open_archive(path))
    return stores


def _archives_in(folder: str) -> list[str]:
    return sorted((p for p in os.listdir(folder) if _is_archive(p) and not is_hidden(p)), key=natural_order)


def _open_archive(path: str) -> Store:
    refuse_special_file(path)
    if not _is_archive(path):
        raise InputError(f"{path}: wanted a folder, or a .tar, .tar.gz or .zip file")
    return Zip(path) if path.lower().endswith(".zip") else Tar(path)


def _matches(pattern: str) -> list[str]:
    if pattern.startswith("pipe:") or "://" in pattern:
        raise InputError(f"{pattern}: commands and addresses are not read; fetch the shards, then give their paths")
    is_pattern = not os.path.exists(pattern) and re.search(r"[*?\[]", pattern)
    paths = sorted(glob.glob(pattern), key=natural_order) if is_pattern else [pattern]
    if not paths or not os.path.exists(paths[0]):
        raise InputError(f"{pattern}: no such file or folder")
    return paths


def _is_archive(name: str) -> bool:
    return name.lower().endswith((".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".zip"))


def _safe(name: str) -> bool:
    return not name.startswith(("/", "\\")) and ".." not in PurePosixPath(name).parts


def _regular(tar: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
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


def _index(path: str) -> _Index:
    with tarfile.open(path, "r:") as tar:
        members = [(m.name, m.offset_data, m.size) for m in _regular(tar)]
    return [name for name, _, _ in members], np.array([span for _, *span in members], np.int64).reshape(-1, 2)


def _cached_index(path: str) -> _Index:
    """Returns a tar's index; that of a large one is kept in the user's cache until the file changes."""
    status = os.stat(path)
    if status.st_size < _CACHED_FROM:
        return _index(path)
    identity = f"3 {os.path.realpath(path)} {status.st_size} {status.st_mtime_ns}"
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mmcontrast" / "shards"
    target = folder / f"{hashlib.sha256(identity.encode()).hexdigest()[:32]}.npz"
    if target.exists():
        with np.load(target, allow_pickle=False) as saved:
            return bytes(saved["names"]).decode(errors="surrogateescape").split("\n"), saved["spans"]
    names, spans = _index(path)
    if not any("\n" in name for name in names):
        folder.mkdir(parents=True, exist_ok=True)
        partial = target.with_suffix(f".{os.getpid()}.npz")
        np.savez(partial, names=np.frombuffer("\n".join(names).encode(errors="surrogateescape"), np.uint8), spans=spans)
        partial.replace(target)
    return names, spans
