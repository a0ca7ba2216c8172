"""Reads at random from files that stay open, from any number of threads and processes."""

import os
import threading
from functools import lru_cache

from mmcontrast.data.io.decode import MAX_BYTES
from mmcontrast.errors import InputError

Version = tuple[int, int, int, int]  # device, inode, bytes and time of change


class UnreadableMemberError(InputError):
    """A file or a member of an archive that cannot be read; the message names it and says why."""


def version_of(path: str) -> Version:
    """Returns what tells one version of a file from another that takes its name.

    Args:
        path: The file.
    """
    status = os.stat(path)
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


class _File:
    """An open file that several threads read; it is closed when the last of them has let go of it."""

    def __init__(self, path: str) -> None:
        self._file = open(path, "rb", buffering=0)  # noqa: SIM115  closed with its last reference
        self._lock = threading.Lock()

    def read(self, offset: int, size: int) -> bytes:
        """Returns ``size`` bytes, or fewer where the file ends."""
        if hasattr(os, "pread"):
            return os.pread(self._file.fileno(), size, offset)
        with self._lock:  # Windows has no pread
            self._file.seek(offset)
            return self._file.read(size)

    def __del__(self) -> None:
        if hasattr(self, "_file"):
            self._file.close()


@lru_cache(maxsize=128)
def _open(path: str, version: Version, process: int) -> _File:
    """Returns an open file; ``process`` keeps a fork from sharing its parent's."""
    file = _File(path)
    if version_of(path) != version:
        raise UnreadableMemberError(f"{path}: has changed since it was opened; open the data set again")
    return file


def read_span(path: str, version: Version, offset: int, size: int) -> bytes:
    """Returns some bytes of a file, which stays open for later calls of any thread.

    Args:
        path: The file.
        version: Its version when the offset was learned.
        offset: Position of the first byte.
        size: Number of bytes.

    Raises:
        UnreadableMemberError: The file has changed, ends early or cannot be read.
    """
    try:
        file = _open(path, version, os.getpid())  # this reference keeps the descriptor open while it is read
        data = file.read(offset, size)
    except OSError as error:
        raise UnreadableMemberError(f"{path}: cannot be read ({error.strerror})") from error
    if len(data) != size:
        raise UnreadableMemberError(f"{path}: ends at byte {offset + len(data)}, inside a member; fetch it again")
    return data


def check_bytes(name: str, size: int) -> None:
    """Refuses what has more than ``MAX_BYTES`` bytes.

    Args:
        name: What the message calls it.
        size: Its size in bytes.

    Raises:
        UnreadableMemberError: It is larger.
    """
    if size > MAX_BYTES:
        raise UnreadableMemberError(f"{name}: has {size >> 20} MB; at most {MAX_BYTES >> 20} MB are read")
