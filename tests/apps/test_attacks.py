import asyncio
import os
import signal
import struct
import subprocess
import sys
import zlib

import httpx
import numpy as np
import pytest
from mmcontrast.apps import gate
from mmcontrast.apps.media import PHOTOGRAPHS
from mmcontrast.apps.page import remove_leftovers
from mmcontrast.apps.track import KINDS
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

from mmcontrast.data.io.video_writer import VideoWriter
from tests.apps.conftest import Server

SECRET = "/etc/passwd"
CLASSIFY = ("a\nb", "{}", "clip-lite")
PAINT, CLICK, COLOR = KINDS


def file(path: str, **more) -> dict:
    return {"path": path, "meta": {"_type": "gradio.FileData"}, **more}


def bomb() -> bytes:
    """A PNG of some 100 bytes that asks for 3.6 GB."""
    chunk = lambda kind, data: struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    header = struct.pack(">IIBBBBB", 30_000, 30_000, 8, 6, 0, 0, 0)
    parts = chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(bytes(99))), chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


@pytest.mark.parametrize(
    "path", [SECRET, "../../../../etc/passwd", "..%2f..%2f..%2f..%2fetc%2fpasswd", "/proc/self/environ"]
)
def test_no_file_outside_the_uploads_is_served(server, path):
    for route in ("gradio_api/file=", "gradio_api/file/", "static/", "assets/", "gradio_api/proxy=file://"):
        answer = server.http.get(route + path)
        assert answer.status_code in (400, 403, 404, 405, 422, 500) or "root:" not in answer.text
        assert "root:" not in answer.text
        assert "PATH=" not in answer.text


def test_no_file_outside_the_uploads_is_read(server):
    image = server.upload(PHOTOGRAPHS[0])
    folder = image["path"].rsplit("/", 1)[0]
    for given in (
        file(SECRET),
        file(f"{folder}/../../../etc/passwd"),
        file("/proc/self/environ"),
        SECRET,
        {"path": SECRET},
    ):
        assert "error" in server.call("classify", given, *CLASSIFY)
        assert "error" in server.call("track", given, CLICK, None, "1,1", None, "lab", 96)
        assert "error" in server.call("classify_all", [given], *CLASSIFY)
    editor = {"background": None, "layers": [file(SECRET)], "composite": None}
    video = server.upload(b"x", "x.mp4")
    assert "error" in server.call("track", video, PAINT, editor, "", None, "lab", 96)
    for name in (SECRET, "/etc", "timm:resnet18@/etc/passwd", "open_clip:ViT-B-32//etc/passwd", "hf:/etc"):
        found = server.call("classify", image, "a\nb", "{}", name)
        assert "root:" not in str(found)
        assert found["error"]


@pytest.mark.parametrize(
    "address",
    [
        "http://127.0.0.1:1/a.png",
        "http://169.254.169.254/latest/meta-data/",
        "https://example.com/a.png",
        "HTTP://localhost/a.png",
        " http://[::1]/a.png",
    ],
)
def test_addresses_are_not_fetched(server, address):
    for endpoint, data in (("classify", (file(address), *CLASSIFY)), ("classify_all", ([file(address)], *CLASSIFY))):
        answer = server.ask(endpoint, *data)
        assert answer.status_code == 400
        assert answer.json()["detail"] == "Upload the file; addresses are not fetched."


def test_a_image_that_asks_for_gigabytes_is_refused_by_its_header(server):
    before = server.memory()
    upload = server.upload(bomb(), "bomb.png")
    inline = file(upload["path"], url="data:image/png;base64,AAAA")
    for endpoint, data in (
        ("classify", (upload, *CLASSIFY)),
        ("classify", (inline, *CLASSIFY)),
        ("match", (upload, upload, "1,1", "lab")),
    ):
        assert "limit of 50000000 pixels" in server.call(endpoint, *data)["error"]
    assert server.memory() - before < 200 << 20


def test_what_only_calls_itself_a_image_is_refused(server):
    page = server.upload(b"<html><script>alert(1)</script></html>", "page.png")
    assert "HTML" in server.call("classify", page, *CLASSIFY)["error"]
    page = server.upload(b"<html><script>alert(1)</script></html>", "page.html")
    answer = server.http.get(f"gradio_api/file={page['path']}")
    assert "attachment" in answer.headers["content-disposition"]
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "default-src 'self'" in answer.headers["content-security-policy"]


def test_names_of_uploads_stay_base_names(server):
    for name in ("../../../tmp/evil.png", "..\\evil.png", "/etc/cron.d/evil.png", "<img src=x onerror=alert(1)>.png"):
        path = server.upload(b"no image", name)["path"]
        folder, kept = path.rsplit("/", 1)
        assert "mmcontrast-" in folder
        assert ".." not in path.split("/")
        error = server.call("classify", file(path), *CLASSIFY)["error"]
        assert folder not in error
        assert "<" not in error
        assert kept.removesuffix(".png") in error


def test_videos_are_bounded_before_they_are_decoded(server, tmp_path):
    with VideoWriter(tmp_path / "long.mp4", fps=0.1) as writer:
        for _ in range(15):
            writer.write(np.full((32, 48, 3), 90, np.uint8))

    def asked(data: bytes, name: str) -> str:
        return server.call("track", server.upload(data, name), CLICK, None, "1,1", None, "lab", 96)["error"]

    assert "at most 120 s" in asked((tmp_path / "long.mp4").read_bytes(), "long.mp4")
    playlist = "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n"
    concat = "ffconcat version 1.0\nfile /etc/passwd\n"
    for data, name in (
        (playlist, "list.m3u8"),
        (playlist, "list.mp4"),
        (concat, "list.mp4"),
        ("x", "x.mp4"),
        ("", "n.mp4"),
    ):
        assert "cannot be opened as a video" in asked(data.encode(), name)


def test_what_is_too_long_is_refused(server):
    assert server.http.post("gradio_api/upload", files={"files": ("a.png", bytes(65 << 20))}).status_code == 413
    assert server.ask("classify", "x" * (5 << 20)).status_code == 413
    blob = {"file": ("b", bytes(33 << 20))}
    assert server.http.post("gradio_api/component_server", files=blob).status_code == 413


def test_what_these_apps_do_not_use_is_not_there(server):
    for path in ("gradio_api/vibe-edit", "gradio_api/process_recording", "gradio_api/run-history/connect", "login"):
        assert server.http.post(path, json={}).status_code == 404
    assert server.http.get("monitoring").status_code in (403, 404)
    assert server.http.post("gradio_api/run/classify", json={"data": []}).status_code in (401, 403, 404, 422)


def test_only_this_machine_is_served(server):
    assert server.address.startswith("http://127.0.0.1:")
    foreign = server.http.get("config", headers={"Origin": "https://evil.example"})
    assert foreign.headers.get("access-control-allow-origin") not in ("*", "https://evil.example")


def test_a_full_queue_answers_at_once_without_a_server_error():
    async def full(request):
        return JSONResponse({"detail": "Queue is full."}, 503)

    async def ask() -> httpx.Response:
        app = gate.Gate(Starlette(routes=[Route("/gradio_api/queue/join", full, methods=["POST"])]))
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1") as client:
            return await client.post("/gradio_api/queue/join", json={"data": []})

    answer = asyncio.run(ask())
    assert answer.status_code == 429
    assert answer.json() == {"detail": gate.FULL}


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"host": "evil.example"}, 403),
        ({"host": "127.0.0.1.evil.example"}, 403),
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "null"}, 403),
    ],
)
def test_only_this_machine_is_answered(server, headers, status):
    """A page of another site must not reach the apps through a name that it resolves to this machine."""
    assert server.http.get("gradio_api/info", headers=headers).status_code == status


def test_uploads_of_killed_apps_are_removed(tmp_path):
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    leftover, running, other = (
        tmp_path / name for name in (f"mmcontrast-{ended.pid}-a", f"mmcontrast-{os.getpid()}-b", "mmcontrast-x")
    )
    for folder in (leftover, running, other):
        folder.mkdir()
    remove_leftovers(tmp_path)
    assert not leftover.exists()
    assert running.exists()
    assert other.exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_uploads_are_removed_when_the_program_is_ended(number, tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    started = Server()
    started.upload(b"text", "a.txt")
    assert list(tmp_path.glob("mmcontrast-*"))
    started.process.send_signal(number)
    assert started.process.wait(60) == 128 + number
    assert not list(tmp_path.glob("mmcontrast-*"))
    started.close()
