"""The page of all apps, served in the background, and what talks to it."""

import json
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from mmcontrast.data.io.video_writer import VideoWriter

FRAMES, SIDE = 8, 96


class Server:
    """``mmcontrast app`` in a process of its own, as an API client sees it."""

    def __init__(self, *arguments: str) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        command = [sys.executable, "-m", "mmcontrast", "app", *arguments, "--port", str(port)]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        assert self.process.stderr
        self.said = [self.process.stderr.readline()]
        assert self.said[0].startswith("Open "), self.said[0] + self.process.stderr.read()
        self._reader = threading.Thread(target=self.said.extend, args=(self.process.stderr,), daemon=True)
        self._reader.start()
        self.address = self.said[0].split()[1]
        self.http = httpx.Client(base_url=self.address, timeout=300, trust_env=False)

    def upload(self, file: str | Path | bytes, name: str | None = None) -> dict[str, Any]:
        data = file if isinstance(file, bytes) else Path(file).read_bytes()
        answer = self.http.post("gradio_api/upload", files={"files": (name or Path(str(file)).name, data)})
        answer.raise_for_status()
        return {"path": answer.json()[0], "meta": {"_type": "gradio.FileData"}}

    def ask(self, endpoint: str, *data: Any) -> httpx.Response:
        return self.http.post(f"gradio_api/call/{endpoint}", json={"data": list(data)})

    def call(self, endpoint: str, *data: Any) -> Any:
        """What a named endpoint gives in the end; a refusal as ``{"error": sentence}``."""
        answer = self.ask(endpoint, *data)
        answer.raise_for_status()
        event = ""
        with self.http.stream("GET", f"gradio_api/call/{endpoint}/{answer.json()['event_id']}") as stream:
            for line in stream.iter_lines():
                if line.startswith("event: "):
                    event = line[7:]
                elif line.startswith("data: ") and event in ("complete", "error"):
                    found = json.loads(line[6:])
                    return found if event == "complete" else found or {"error": None}
        raise AssertionError(f"{endpoint} ended without an answer")

    def memory(self) -> int:
        """Resident bytes."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return 1024 * next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))

    def close(self) -> None:
        self.http.close()
        self.process.terminate()
        self.process.wait()
        self._reader.join()
        self.process.stderr.close()  # type: ignore[union-attr]

    def download(self, file: dict[str, Any]) -> bytes:
        answer = self.http.get(f"gradio_api/file={file['path']}")
        answer.raise_for_status()
        return answer.content


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    served = Server()
    yield served
    served.close()


@pytest.fixture(scope="session")
def disc(tmp_path_factory) -> tuple[Path, list[np.ndarray]]:
    """A video of a bright disc that moves right, and its masks."""
    y, x = np.mgrid[:SIDE, : 2 * SIDE]
    ground = (70 + 40 * np.sin(x / 9) * np.cos(y / 7)).astype(np.uint8)
    masks = [(y - 48) ** 2 + (x - 50 - 6 * t) ** 2 < 22**2 for t in range(FRAMES)]
    path = tmp_path_factory.mktemp("video") / "disc.mp4"
    with VideoWriter(path, 10, quality=5) as writer:
        for mask in masks:
            writer.write(np.stack([np.where(mask, 210, ground), ground, ground // 2], -1))
    return path, masks


@pytest.fixture
def painting(tmp_path) -> Callable[[np.ndarray], Path]:
    """What the browser sends of a mask painted in the brush's first color."""

    def paint(mask: np.ndarray) -> Path:
        pixels = np.zeros((*mask.shape, 4), np.uint8)
        pixels[mask] = (0xE6, 0x19, 0x4B, 255)
        Image.fromarray(pixels).save(tmp_path / "layer.png")
        return tmp_path / "layer.png"

    return paint
