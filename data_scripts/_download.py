"""Downloads large files, verifies them, and unpacks archives without writing outside their folder."""

import argparse
import hashlib
import http.client
import os
import shutil
import sys
import tarfile
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable, Collection, Iterator
from pathlib import Path, PurePosixPath
from typing import IO, Any
from urllib.parse import urlsplit

from tqdm import tqdm

from mmcontrast.errors import InputError

_BLOCK = 1 << 20
_PASSING = {408, 425, 429, 500, 502, 503, 504}  # HTTP states that another try may cure


class DownloadError(InputError):
    """A file cannot be downloaded, or its checksum is wrong."""


def fetch(
    address: str,
    target: str | Path,
    sha256: str | None = None,
    hosts: Collection[str] = (),
    tries: int = 5,
    pause: float = 1.0,
    timeout: float = 30.0,
) -> Path:
    """Downloads a file, and continues a download that was interrupted.

    The bytes go to ``TARGET.part``. The file is renamed to ``target`` when it is complete and its checksum is right.

    Args:
        address: URL of the file, http or https.
        target: Path to write. If the file exists and its checksum is right, nothing is downloaded.
        sha256: Expected SHA-256 of the whole file. If it is None, the checksum of the file is printed.
        hosts: Hosts to which a redirect may lead, in addition to the host of the address.
        tries: Number of attempts in a row that bring no new byte before the download fails.
        pause: Seconds to wait before the second attempt; each further wait is twice as long.
        timeout: Seconds without a byte after which a connection is closed.

    Returns:
        The path of the complete file.

    Raises:
        DownloadError: refused redirect, HTTP error, too many cuts, or a wrong checksum.
    """
    target = Path(target)
    if target.exists():
        verify(target, sha256)
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(target.name + ".part")
    resumed = part.exists()
    _fill(address, part, hosts, tries, pause, timeout)
    if sha256 is not None and checksum(part) != sha256 and resumed:  # its beginning may come from another version
        part.unlink()
        _fill(address, part, hosts, tries, pause, timeout)
    try:
        verify(part, sha256)
    except DownloadError:
        part.unlink()
        raise
    os.replace(part, target)
    return target


def checksum(path: Path, kind: str = "sha256") -> str:
    """Returns the SHA-256 or MD5 of a file in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, kind).hexdigest()


def verify(path: Path, wanted: str | None) -> None:
    """Compares a file with its expected SHA-256, or its MD5 if that has 32 digits.

    Without an expected checksum, a warning with the SHA-256 of the file is printed.

    Raises:
        DownloadError: The file does not exist, or its checksum differs.
    """
    if not path.is_file():
        raise DownloadError(f"{path}: no such file")
    kind = "md5" if wanted is not None and len(wanted) == 32 else "sha256"
    digest = checksum(path, kind)
    if wanted is None:
        print(
            f"WARNING: {path.name} was not verified, since no checksum is known; its SHA-256 is {digest}",
            file=sys.stderr,
        )
    elif digest != wanted.lower():
        raise DownloadError(f"{path}: its {kind} is {digest}, wanted {wanted}; delete it and fetch it again")


def extract(archive: str | Path, target: str | Path, only: str = "") -> Path:
    """Unpacks the regular files of a tar or zip archive.

    Links, devices and names that lead outside the target are skipped and counted. The target folder appears when
    everything is unpacked.

    Args:
        archive: The archive to unpack.
        target: The folder to create.
        only: Only members whose names start with this text are unpacked.

    Returns:
        The target folder.

    Raises:
        InputError: The target exists already, or the archive is damaged.
    """
    target = Path(target)
    if target.exists():
        raise InputError(f"{target}: exists already; remove it to unpack {archive} again")
    partial = target.with_name(target.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    skipped = 0
    try:
        for name, file in _members(archive):
            path = PurePosixPath(name)
            if file is None or path.is_absolute() or ".." in path.parts or "\\" in name:
                skipped += 1
            elif name.startswith(only):
                destination = partial / path
                destination.parent.mkdir(parents=True, exist_ok=True)
                with file, destination.open("wb") as out:
                    shutil.copyfileobj(file, out)
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, OSError) as error:
        shutil.rmtree(partial)
        raise InputError(f"{archive}: cannot be unpacked ({error})") from error
    if skipped:
        print(f"{archive}: skipped {skipped} members (links, devices, or names outside the target)", file=sys.stderr)
    partial.rename(target)
    return target


def _members(archive: str | Path) -> Iterator[tuple[str, IO[bytes] | None]]:
    """Yields the name and the file object of each member; the file object is None for a link or a device."""
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as zipped:
            for info in zipped.infolist():
                link = info.external_attr >> 28 == 0xA
                if not info.is_dir():
                    yield info.filename, None if link else zipped.open(info)
    else:
        with tarfile.open(archive, "r|*") as tar:
            for member in tar:
                if not member.isdir():
                    yield member.name, tar.extractfile(member) if member.isreg() else None


class _Redirects(urllib.request.HTTPRedirectHandler):
    def __init__(self, hosts: Collection[str]) -> None:
        self.hosts = hosts

    def redirect_request(self, req: urllib.request.Request, fp: Any, code: int, msg: str, headers: Any, newurl: str):
        """Accepts a redirect to a known host only, and never from https to http."""
        old, new = urlsplit(req.full_url), urlsplit(newurl)
        if new.netloc != old.netloc and new.hostname not in self.hosts:
            raise DownloadError(f"{req.full_url}: leads to another host, {new.netloc}, which is not expected")
        if old.scheme == "https" and new.scheme != "https":
            raise DownloadError(f"{req.full_url}: leads from https to {new.scheme}")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _fill(address: str, part: Path, hosts: Collection[str], tries: int, pause: float, timeout: float) -> None:
    opener = urllib.request.build_opener(_Redirects(hosts))
    failures, reason = 0, ""
    while failures < tries:
        if failures:
            time.sleep(pause * 2 ** (failures - 1))
        before = part.stat().st_size if part.exists() else 0
        try:
            if _attempt(opener, address, part, before, timeout):
                return
            reason = "the connection was cut"
        except urllib.error.HTTPError as error:
            if error.code == 416:  # nothing after our end: it was complete, or is not the same file any more
                if before and error.headers.get("Content-Range", "").endswith(f"/{before}"):
                    return
                part.unlink(missing_ok=True)
            elif error.code not in _PASSING:
                raise DownloadError(f"{address}: HTTP {error.code} {error.reason}") from None
            reason = f"HTTP {error.code} {error.reason}"
        except (OSError, http.client.HTTPException) as error:
            reason = str(error) or type(error).__name__
        after = part.stat().st_size if part.exists() else 0
        failures = 1 if after > before else failures + 1
    raise DownloadError(f"{address}: gave up after {tries} tries ({reason}); run again to go on from {part}")


def _attempt(opener: urllib.request.OpenerDirector, address: str, part: Path, start: int, timeout: float) -> bool:
    """Downloads over one connection; returns whether the file is complete."""
    request = urllib.request.Request(address, headers={"User-Agent": "mmcontrast"})
    if start:
        request.add_header("Range", f"bytes={start}-")
    with opener.open(request, timeout=timeout) as response:
        if start and response.headers.get("Content-Range", "").startswith(f"bytes {start}-"):
            mode = "ab"
        else:  # a server without ranges sends all of it again
            start, mode = 0, "wb"
        length = response.headers.get("Content-Length")
        total = None if length is None else start + int(length)
        name = part.name.removesuffix(".part")
        with part.open(mode) as file, tqdm(total=total, initial=start, desc=name, unit="B", unit_scale=True) as bar:
            while block := response.read1(_BLOCK):
                file.write(block)
                bar.update(len(block))
            file.flush()
            os.fsync(file.fileno())
            return total is None or file.tell() == total


def run(
    prepare: Callable[[argparse.Namespace], None], parser: argparse.ArgumentParser, arguments: list[str] | None
) -> int:
    """Parses the arguments and calls ``prepare``; returns 0, or 2 after printing the message of an ``InputError``."""
    try:
        prepare(parser.parse_args(arguments))
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0
