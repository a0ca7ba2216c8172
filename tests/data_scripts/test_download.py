"""Fetching against a server on this machine that cuts, lies, redirects and knows no ranges."""

import hashlib
import io
import os
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from data_scripts._download import DownloadError, extract, fetch
from mmcontrast.errors import InputError

DATA = bytes(range(256)) * 2000
DIGEST = hashlib.sha256(DATA).hexdigest()


class Handler(BaseHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        server = self.server
        server.requests.append((self.path, self.headers.get("Range")))
        if self.path == "/away":
            self.send_response(302)
            self.send_header("Location", f"http://localhost:{server.server_address[1]}/file")
            self.end_headers()
            return
        if self.path == "/busy" and len(server.requests) < 3:
            return self.send_error(503)
        if self.path == "/missing":
            return self.send_error(404)
        start = 0
        if self.path != "/no-ranges" and (wanted := self.headers.get("Range")):
            start = int(wanted.removeprefix("bytes=").rstrip("-"))
            if start >= len(DATA):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(DATA)}")
                self.end_headers()
                return
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(DATA) - 1}/{len(DATA)}")
        else:
            self.send_response(200)
        body = DATA[start:]
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        cut = self.path == "/always-cut" or (self.path in ("/cut", "/no-ranges") and len(server.requests) < 3)
        self.wfile.write(body[:100_000] if cut and self.path != "/always-cut" else b"" if cut else body)


@pytest.fixture
def server() -> Iterator[ThreadingHTTPServer]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.requests = []
    server.address = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def test_goes_on_where_the_connection_was_cut(server, tmp_path: Path):
    path = fetch(f"{server.address}/cut", tmp_path / "file", DIGEST, pause=0)
    assert path.read_bytes() == DATA
    assert server.requests == [("/cut", None), ("/cut", "bytes=100000-"), ("/cut", "bytes=200000-")]
    assert os.listdir(tmp_path) == ["file"]


def test_starts_again_where_the_server_knows_no_ranges(server, tmp_path: Path):
    assert fetch(f"{server.address}/no-ranges", tmp_path / "file", DIGEST, pause=0).read_bytes() == DATA
    assert len(server.requests) == 3


def test_wrong_checksum_leaves_no_file(server, tmp_path: Path):
    with pytest.raises(DownloadError, match="wanted 000"):
        fetch(f"{server.address}/file", tmp_path / "file", "0" * 64, pause=0)
    assert os.listdir(tmp_path) == []


def test_gives_up_and_keeps_the_part(server, tmp_path: Path):
    (tmp_path / "file.part").write_bytes(DATA[:10])
    with pytest.raises(DownloadError, match="gave up after 2 tries"):
        fetch(f"{server.address}/always-cut", tmp_path / "file", DIGEST, tries=2, pause=0)
    assert os.listdir(tmp_path) == ["file.part"]


def test_a_part_of_another_version_is_fetched_anew(server, tmp_path: Path):
    (tmp_path / "file.part").write_bytes(b"x" * 1000)
    assert fetch(f"{server.address}/file", tmp_path / "file", DIGEST, pause=0).read_bytes() == DATA


def test_a_complete_part_is_only_verified(server, tmp_path: Path):
    (tmp_path / "file.part").write_bytes(DATA)
    assert fetch(f"{server.address}/file", tmp_path / "file", DIGEST, pause=0).read_bytes() == DATA
    assert len(server.requests) == 1


def test_a_right_file_is_not_fetched_again_and_a_wrong_one_is_named(server, tmp_path: Path):
    (tmp_path / "file").write_bytes(DATA)
    fetch(f"{server.address}/file", tmp_path / "file", DIGEST)
    (tmp_path / "file").write_bytes(DATA[1:])
    with pytest.raises(DownloadError, match="delete it"):
        fetch(f"{server.address}/file", tmp_path / "file", DIGEST)
    assert server.requests == []


def test_redirects_only_to_named_hosts(server, tmp_path: Path):
    with pytest.raises(DownloadError, match="another host, localhost"):
        fetch(f"{server.address}/away", tmp_path / "file", DIGEST, pause=0)
    assert os.listdir(tmp_path) == []
    assert fetch(f"{server.address}/away", tmp_path / "file", DIGEST, {"localhost"}, pause=0).read_bytes() == DATA


def test_passing_errors_are_tried_again_and_lasting_ones_are_not(server, tmp_path: Path):
    assert fetch(f"{server.address}/busy", tmp_path / "file", DIGEST, pause=0).read_bytes() == DATA
    server.requests.clear()
    with pytest.raises(DownloadError, match="HTTP 404"):
        fetch(f"{server.address}/missing", tmp_path / "other", DIGEST, pause=0)
    assert len(server.requests) == 1


def hostile_tar(path: Path) -> Path:
    with tarfile.open(path, "w") as tar:
        for name in ("good/a.txt", "../escape.txt", "/absolute.txt"):
            member = tarfile.TarInfo(name)
            member.size = 2
            tar.addfile(member, io.BytesIO(b"ok"))
        link = tarfile.TarInfo("link")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
        device = tarfile.TarInfo("device")
        device.type = tarfile.CHRTYPE
        tar.addfile(device)
    return path


def test_extraction_writes_nothing_outside_the_target(tmp_path: Path, capsys):
    target = extract(hostile_tar(tmp_path / "x.tar"), tmp_path / "inner" / "out")
    assert [p for p in tmp_path.rglob("*") if p.is_file() or p.is_symlink()] == [
        tmp_path / "x.tar",
        target / "good" / "a.txt",
    ]
    assert "skipped 4 members" in capsys.readouterr().err


def test_zip_names_cannot_leave_the_target(tmp_path: Path, capsys):
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr("../escape.txt", "no")
        archive.writestr("a/b.txt", "yes")
    target = extract(tmp_path / "x.zip", tmp_path / "inner" / "out")
    assert [p.relative_to(target).as_posix() for p in target.rglob("*.txt")] == ["a/b.txt"]
    assert not (tmp_path / "inner" / "escape.txt").exists()
    assert "skipped 1 members" in capsys.readouterr().err


def test_a_cut_archive_leaves_no_folder(tmp_path: Path):
    hostile_tar(tmp_path / "x.tar")
    (tmp_path / "cut.tar").write_bytes((tmp_path / "x.tar").read_bytes()[:515])
    with pytest.raises(InputError, match=r"cut\.tar: cannot be unpacked"):
        extract(tmp_path / "cut.tar", tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "out.partial").exists()
