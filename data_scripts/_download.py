"""Fetching one large file so that what lies under its final name is whole, and unpacking it so that nothing escapes."""

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
    """A file that could not be fetched or is not the one that was wanted."""


def fetch(
    address: str,
    target: str | Path,
    sha256: str | None = None,
    hosts: Collection[str] = (),
    tries: int = 5,
    pause: float = 1.0,
    timeout: float = 30.0,
) -> Path:
    """Fetches a file, going on where a cut one ended.

    The bytes go to ``TARGET.part``, which takes the final name only when it is complete and its checksum is right.

    Args:
        address: http or https.
        target: final name; if it exists and its checksum is right, nothing is fetched.
        sha256: of the whole file; without it, the checksum is printed for you to keep.
        hosts: hosts besides the address's own that a redirect may lead to.
        tries: attempts in a row that bring no new byte before giving up.
        pause: seconds before the second attempt, doubled each time.
        timeout: seconds without a byte.
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
    """SHA-256 or MD5 in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, kind).hexdigest()


def verify(path: Path, wanted: str | None) -> None:
    """Compares a file with its SHA-256 (or MD5, 32 digits); prints the SHA-256 where none is known."""
    if not path.is_file():
        raise DownloadError(f"{path}: no such file")
    kind = "md5" if wanted is not None and len(wanted) == 32 else "sha256"
    found = checksum(path, kind)
    if wanted is None:
        print(f"{path.name}: SHA-256 {found} (none to compare with)", file=sys.stderr)
    elif found != wanted.lower():
        raise DownloadError(f"{path}: its {kind} is {found}, wanted {wanted}; delete it and fetch it again")


def extract(archive: str | Path, target: str | Path, only: str = "") -> Path:
    """Unpacks a tar or zip file's regular files whose names start with ``only``.

    Links, devices and names that leave the target are skipped and counted.  The target appears when all is unpacked.
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
                place = partial / path
                place.parent.mkdir(parents=True, exist_ok=True)
                with file, place.open("wb") as out:
                    shutil.copyfileobj(file, out)
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, OSError) as error:
        shutil.rmtree(partial)
        raise InputError(f"{archive}: cannot be unpacked ({error})") from error
    if skipped:
        print(f"{archive}: skipped {skipped} members (links, devices, or names outside the target)", file=sys.stderr)
    partial.rename(target)
    return target


def _members(archive: str | Path) -> Iterator[tuple[str, IO[bytes] | None]]:
    """(name, file); None in place of a link or a device."""
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
        """Follows only to a known host, and never from https to http."""
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
    """One connection; True when the file is complete."""
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
    """A script's main: 0, or 2 with the message of a user's mistake."""
    try:
        prepare(parser.parse_args(arguments))
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0
