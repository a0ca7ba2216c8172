"""Checks requests before Gradio sees them: their size is bounded, and no address is downloaded."""

import json
from typing import Any
from urllib.parse import urlsplit

from gradio_client.utils import is_http_url_like
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

API = "/gradio_api/"
LOCAL_HOSTS = ("127.0.0.1", "localhost", "::1")
POSTS = ("queue/join", "upload", "cancel", "reset", "component_server", "call", "run", "api", "stream", "heartbeat")
MAX_JSON = 4 << 20  # bytes; images and videos are uploaded, not written into it
MAX_BLOB = 32 << 20  # bytes of what is painted
POLICY = b"default-src 'self' data: blob: 'unsafe-inline' 'unsafe-eval'; frame-ancestors 'self'; object-src 'none'"
FULL = "Too many requests are waiting; try again in a moment."


class Gate:
    """ASGI middleware that refuses requests which these apps do not need.

    It refuses the parts of Gradio that these apps do not use, bodies that are too long, and files named by an address,
    which Gradio would download. It answers 429 if the queue is full. Response headers tell the browser to load nothing
    from other hosts and to run no file as a page.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes a request on to Gradio, or answers it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        if not _is_from_this_machine(scope):
            await _answer(403, "Open the address that the program printed.", scope, receive, send)
            return
        path = scope["path"].removeprefix(API)
        if scope["method"] == "POST" and path != "upload":  # Gradio bounds the size of uploads as they arrive
            if not path.startswith(POSTS):
                await _answer(404, "This address does not exist here.", scope, receive, send)
                return
            blobs = path.startswith("component_server")
            body = await _read(receive, MAX_BLOB if blobs else MAX_JSON)
            if body is None:
                await _answer(413, "The request is too long; upload files instead.", scope, receive, send)
                return
            if not blobs and _names_an_address(body):
                await _answer(400, "Upload the file; addresses are not fetched.", scope, receive, send)
                return
            receive = _again(body, receive)
        await self.app(scope, receive, _Sender(scope, receive, send))


def _is_from_this_machine(scope: Scope) -> bool:
    """Tells whether the Host header names this machine and the Origin header, if there is one, names the same host.

    Otherwise a page of another site could reach these apps through a name that it resolves to this machine.
    """
    headers = {name: value.decode("latin-1") for name, value in scope["headers"] if name in (b"host", b"origin")}
    host, origin = headers.get(b"host", ""), headers.get(b"origin")
    if urlsplit(f"//{host}").hostname not in LOCAL_HOSTS:
        return False
    return origin is None or urlsplit(origin).netloc == host


class _Sender:
    """Adds response headers and turns Gradio's 503 for a full queue into a 429."""

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


async def _read(receive: Receive, limit: int) -> bytes | None:
    """Returns the whole body, or None if it is longer than ``limit`` bytes."""
    body, more = bytearray(), True
    while more:
        message = await receive()
        body += message.get("body", b"")
        if len(body) > limit:
            return None
        more = message.get("more_body", False)
    return bytes(body)


def _again(body: bytes, receive: Receive) -> Receive:
    """Returns a function that receives ``body`` again and then whatever ``receive`` gives, such as a disconnect."""
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
