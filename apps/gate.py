"""What stands between the network and Gradio: bounded requests, no addresses to fetch, nothing fetched from outside."""

import json
from typing import Any

from gradio_client.utils import is_http_url_like
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

API = "/gradio_api/"
POSTS = ("queue/join", "upload", "cancel", "reset", "component_server", "call", "run", "api", "stream", "heartbeat")
MOST_JSON = 4 << 20  # bytes; images and videos are uploaded, not written into it
MOST_BLOB = 32 << 20  # bytes of what is painted
POLICY = b"default-src 'self' data: blob: 'unsafe-inline' 'unsafe-eval'; frame-ancestors 'self'; object-src 'none'"
FULL = "Too many requests are waiting; try again in a moment."


class Gate:
    """ASGI middleware.

    Refuses parts of Gradio that these apps do not use, bodies that are too long, and files that are named by an
    address, which Gradio would download.  A full queue is answered by 429.  Browsers are told to load nothing from
    elsewhere and to run no file as a page.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Lets a request pass, or answers it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        path = scope["path"].removeprefix(API)
        if scope["method"] == "POST" and path != "upload":  # whose size Gradio bounds as it arrives
            if not path.startswith(POSTS):
                await _answer(404, "There is no such thing here.", scope, receive, send)
                return
            blobs = path.startswith("component_server")
            body = await _read(receive, MOST_BLOB if blobs else MOST_JSON)
            if body is None:
                await _answer(413, "The request is too long; upload files instead.", scope, receive, send)
                return
            if not blobs and _names_an_address(body):
                await _answer(400, "Upload the file; addresses are not fetched.", scope, receive, send)
                return
            receive = _again(body, receive)
        await self.app(scope, receive, _Sender(scope, receive, send))


class _Sender:
    """Adds headers, and turns Gradio's 503 for a full queue into a 429."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scope, self.receive, self.send, self.full = scope, receive, send, False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.full = message["status"] == 503 and self.scope["path"].startswith(API)
            message["headers"] = [
                *message["headers"],
                (b"content-security-policy", POLICY),
                (b"x-content-type-options", b"nosniff"),
                (b"referrer-policy", b"same-origin"),
            ]
        if not self.full:
            await self.send(message)
        elif not message.get("more_body") and message["type"] == "http.response.body":
            await _answer(429, FULL, self.scope, self.receive, self.send)


async def _answer(status: int, sentence: str, scope: Scope, receive: Receive, send: Send) -> None:
    await JSONResponse({"detail": sentence}, status)(scope, receive, send)


async def _read(receive: Receive, most: int) -> bytes | None:
    """The whole body; None when it is longer than ``most``."""
    body, more = bytearray(), True
    while more:
        message = await receive()
        body += message.get("body", b"")
        if len(body) > most:
            return None
        more = message.get("more_body", False)
    return bytes(body)


def _again(body: bytes, receive: Receive) -> Receive:
    """Gives ``body`` once more, then what ``receive`` gives (that the browser has gone)."""
    parts: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return parts.pop() if parts else await receive()

    return replay


def _names_an_address(body: bytes) -> bool:
    try:
        waiting: list[Any] = [json.loads(body or b"null")]
    except (ValueError, RecursionError):
        return False  # no JSON: Gradio refuses it
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            path = value.get("path")
            if isinstance(path, str) and is_http_url_like(path.strip().lower()):
                return True
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value
    return False
