"""Results on disk, under keys that are hashes of what they were computed from."""

import contextlib
import hashlib
import os
import secrets
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn


def cache_directory() -> Path:
    """Returns ``$MMCONTRAST_CACHE``, else ``$XDG_CACHE_HOME/mmcontrast``, else ``~/.cache/mmcontrast``."""
    if own := os.environ.get("MMCONTRAST_CACHE"):
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mmcontrast"


def fingerprint(module: nn.Module, leave_out: nn.Module | None = None) -> str:
    """Returns a hash of the class names, weights and buffers of a module.

    Args:
        module: The module.
        leave_out: A part of the module that the hash ignores.
    """
    ignored_modules = set(leave_out.modules()) if leave_out is not None else set()
    ignored = {id(t) for m in ignored_modules for t in [*m.parameters(recurse=False), *m.buffers(recurse=False)]}
    digest = hashlib.sha256()
    for name, part in module.named_modules():
        if part not in ignored_modules:
            digest.update(f"{name} {type(part).__qualname__}\n".encode())
    for name, tensor in [*module.named_parameters(), *module.named_buffers()]:
        if id(tensor) in ignored:
            continue
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def content_key(parts: Iterable[str]) -> str:
    """Returns a hash of a sequence of strings that no other sequence shares."""
    digest = hashlib.sha256()
    for part in parts:
        encoded = part.encode("utf-8", "surrogateescape")
        digest.update(len(encoded).to_bytes(8, "little") + encoded)
    return digest.hexdigest()


def load_array(file: Path) -> Tensor | None:
    """Returns the tensor that is stored in a file, or None if there is none or it cannot be read."""
    try:
        array = np.load(file, allow_pickle=False)
        with contextlib.suppress(OSError):
            os.utime(file)  # marks the file as used; _prune deletes those longest unused
        return torch.from_numpy(array)
    except (OSError, ValueError, EOFError):
        return None


def save_array(file: Path, tensor: Tensor, max_bytes: int | None = None) -> None:
    """Writes a tensor to a .npy file in one step: readers see all of it or nothing.

    A full or read-only disk is no error, since the cache is not needed.

    Args:
        file: The file to write.
        tensor: The tensor.
        max_bytes: Limit of all .npy files in the folder; those that were not used for longest are deleted. None sets
            no limit.
    """
    part = file.with_name(f".{file.name}.{secrets.token_hex(8)}")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as stream:
            np.save(stream, tensor.detach().cpu().numpy(), allow_pickle=False)
        os.replace(part, file)
        if max_bytes is not None:
            _prune(file.parent, max_bytes)
    except OSError:
        with contextlib.suppress(OSError):
            part.unlink()


def _prune(folder: Path, max_bytes: int) -> None:
    """Deletes the .npy files of a folder that were not used for longest, until the rest fits; the newest stays."""
    total = 0
    for rank, (_, size, file) in enumerate(sorted(_files(folder), reverse=True)):
        total += size
        if rank and total > max_bytes:
            file.unlink(missing_ok=True)


def _files(folder: Path) -> Iterator[tuple[int, int, Path]]:
    """Yields (time of last use, bytes, path) of the .npy files of a folder."""
    for file in folder.glob("*.npy"):
        with contextlib.suppress(FileNotFoundError):  # another process was faster
            status = file.stat()
            yield status.st_mtime_ns, status.st_size, file
