"""What all apps share: the page, its limits, models by name, and errors in one sentence."""

import atexit
import html
import os
import re
import shutil
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.utils import get_upload_folder
from PIL import Image
from starlette.middleware import Middleware

from mmcontrast.errors import InputError
from mmcontrast.models import bundled, load

from .gate import Gate

MAX_WAITING = 64
MAX_MODELS = 4
FOLDER_PREFIX = "mmcontrast-"
THEME = gr.themes.Default(
    primary_hue="teal",
    neutral_hue="slate",
    font=["system-ui", "sans-serif"],
    font_mono=["ui-monospace", "monospace"],
)
CSS = """
.gradio-container, .gradio-container main.app { max-width: 1180px !important; width: 100%; margin: 0 auto; }
.prose code { overflow-wrap: anywhere; }
[data-testid="status-tracker"]:has(.error) { display: none !important; }  /* the message says it */
.empty.large { min-height: 8rem !important; }
.grid-wrap.fixed-height { min-height: 0 !important; }
@media (max-width: 640px) { footer .divider { display: none; } }
"""


@contextmanager
def page(title: str) -> Iterator[gr.Blocks]:
    """Creates a page. Uploads go to a temporary folder, which is deleted when the process ends.

    Args:
        title: Title of the page.

    Yields:
        The page, to which components are added inside the ``with`` block.
    """
    if "GRADIO_TEMP_DIR" not in os.environ:
        remove_leftovers(Path(tempfile.gettempdir()))
        os.environ["GRADIO_TEMP_DIR"] = folder = tempfile.mkdtemp(prefix=f"{FOLDER_PREFIX}{os.getpid()}-")
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
    with gr.Blocks(title=title, analytics_enabled=False, delete_cache=(600, 3600)) as blocks:
        yield blocks


def remove_leftovers(folder: Path) -> None:
    """Removes the upload folders of apps that were killed.

    Args:
        folder: The folder in which apps create their upload folders.
    """
    for path in folder.glob(f"{FOLDER_PREFIX}*-*"):
        process = path.name.removeprefix(FOLDER_PREFIX).partition("-")[0]
        own = not path.is_symlink() and path.stat().st_uid == os.getuid() if hasattr(os, "getuid") else True
        if own and process.isdecimal() and not _is_running(int(process)):
            shutil.rmtree(path, ignore_errors=True)


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def start(blocks: gr.Blocks, port: int | None = None) -> str:
    """Serves a page on 127.0.0.1 in the background.

    Args:
        blocks: The page.
        port: Port to listen on. None stands for the first free one from 7860.

    Returns:
        The address of the page.

    Raises:
        InputError: The port is in use.
    """
    Image.MAX_IMAGE_PIXELS = 25_000_000  # PIL refuses twice as many, wherever an image is opened
    blocks.queue(max_size=MAX_WAITING, default_concurrency_limit=1, api_open=False)
    try:
        _, address, _ = blocks.launch(
            server_name="127.0.0.1",
            server_port=port,
            share=False,
            prevent_thread_lock=True,
            quiet=True,
            show_error=False,
            max_file_size="64mb",
            enable_monitoring=False,
            run_history=False,
            footer_links=["api", "settings"],
            state_session_capacity=256,
            ssr_mode=False,
            pwa=False,
            mcp_server=False,
            theme=THEME,
            css=CSS,
            app_kwargs={"middleware": [Middleware(Gate)]},
            _frontend=False,  # or Gradio gives up where its own page takes 3 seconds, or a proxy is set
        )
    except OSError as error:
        raise InputError(f"--port {port} is in use ({error}); choose another") from error
    return address


def serve(blocks: gr.Blocks, port: int | None = None) -> int:
    """Serves a page until Ctrl-C; returns the exit status.

    Args:
        blocks: The page.
        port: Port to listen on. None stands for the first free one from 7860.
    """
    for number in (signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM)):
        signal.signal(number, lambda received, _: sys.exit(128 + received))  # so that the uploads are deleted
    print(f"Open {start(blocks, port)} in a browser. Press Ctrl-C to stop.", file=sys.stderr, flush=True)
    blocks.block_thread()
    return 0


@contextmanager
def one_sentence() -> Iterator[None]:
    """Turns an ``InputError`` into a message on the page. Use it in a ``with`` statement or as a decorator."""
    try:
        yield
    except InputError as error:
        sentence = without_folders(error).replace("`", "")
        raise gr.Error(html.escape(sentence, quote=False), print_exception=False) from None


def without_folders(error: Exception) -> str:
    """Returns the message of an error in one line, with uploads named by their base names."""
    return re.sub(re.escape(get_upload_folder()) + r"/(?:[^/\s]+/)?", "", str(error)).replace("\n", " ")


@dataclass
class _Slot:
    """A model that is loaded once, while other models can be used."""

    loading: threading.Lock = field(default_factory=threading.Lock)
    model: Any = None


@lru_cache(MAX_MODELS)
def _slot(name: str) -> _Slot:
    return _Slot()


def model(name: str | None, wanted: str) -> Any:
    """Loads a model by a name that ``mmcontrast.load`` knows; the last few models stay in memory.

    Args:
        name: The text of the model field.
        wanted: A sentence for the error message if the field is empty.

    Raises:
        InputError: There is no such model, or a library failed to download or to read it.
    """
    name = str(name or "").strip()
    if not name:
        raise InputError(f"No model is named. {wanted}")
    slot = _slot(name)
    with slot.loading:
        try:
            slot.model = slot.model or load(name)
            return slot.model
        except InputError:
            raise
        except Exception as error:  # timm, transformers and the hub raise whatever they like
            reason = (str(error) or type(error).__name__).splitlines()[0]
            raise InputError(f"{name}: cannot be loaded ({reason})") from error


def default(*names: str) -> str:
    """Returns the first of the named models that is bundled, or an empty text."""
    return next((name for name in names if name in bundled()), "")


def model_field(
    value: str, info: str = "A bundled name, a folder, or open_clip:, timm:, hf: or hf-hub: and a name."
) -> gr.Dropdown:
    """Returns the field in which a model is named.

    Args:
        value: Name of the model to start with.
        info: Help text of the field.
    """
    return gr.Dropdown(
        bundled(), value=value or None, label="Model", info=info, allow_custom_value=True, filterable=True
    )
