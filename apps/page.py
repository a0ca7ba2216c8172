"""What all apps share: looks, limits, models by name, and errors in one sentence."""

import atexit
import html
import os
import re
import shutil
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import gradio as gr
from gradio.utils import get_upload_folder
from PIL import Image
from starlette.middleware import Middleware

from mmcontrast.errors import InputError
from mmcontrast.models.loading import bundled, load

from .gate import Gate

MOST_WAITING = 64
MODELS_KEPT = 4
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
    """The frame of a page.  Uploads go to a folder of this process's own, which disappears with it."""
    if "GRADIO_TEMP_DIR" not in os.environ:
        os.environ["GRADIO_TEMP_DIR"] = folder = tempfile.mkdtemp(prefix="mmcontrast-")
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
    with gr.Blocks(title=title, analytics_enabled=False, delete_cache=(600, 3600)) as blocks:
        yield blocks


def start(blocks: gr.Blocks, port: int | None = None) -> str:
    """Serves a page on 127.0.0.1 in the background.

    Args:
        blocks: the page.
        port: None is the first free one from 7860.
    Returns:
        Its address.
    Raises:
        InputError: the port is taken.
    """
    Image.MAX_IMAGE_PIXELS = 25_000_000  # PIL refuses twice as many, wherever an image is opened
    blocks.queue(max_size=MOST_WAITING, default_concurrency_limit=1, api_open=False)
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
        raise InputError(f"--port {port}: is taken ({error}); choose another") from error
    return address


def serve(blocks: gr.Blocks, port: int | None = None) -> int:
    """Serves a page until Ctrl-C."""
    print(f"Open {start(blocks, port)} in a browser; Ctrl-C ends.", file=sys.stderr, flush=True)
    blocks.block_thread()
    return 0


@contextmanager
def one_sentence() -> Iterator[None]:
    """Shows what the user did wrong as a message, files by their base names; use with ``with`` or as a decorator."""
    try:
        yield
    except InputError as error:
        sentence = without_folders(error).replace("`", "")
        raise gr.Error(html.escape(sentence, quote=False), print_exception=False) from None


def without_folders(error: Exception) -> str:
    """Its message in one line, uploads by their base names."""
    return re.sub(re.escape(get_upload_folder()) + r"/(?:[^/\s]+/)?", "", str(error)).replace("\n", " ")


_loading = threading.Lock()
_load = lru_cache(MODELS_KEPT)(load)


def model(name: str | None, wanted: str) -> Any:
    """A model by any name that ``load`` knows, kept for the next time.

    Args:
        name: what stands in the model field.
        wanted: what to say where nothing does.
    Raises:
        InputError: no such model; also where a library that fetches or reads it fails.
    """
    name = str(name or "").strip()
    if not name:
        raise InputError(f"No model is named. {wanted}")
    with _loading:
        try:
            return _load(name)
        except InputError:
            raise
        except Exception as error:  # timm, transformers and the hub raise whatever they like
            reason = (str(error) or type(error).__name__).splitlines()[0]
            raise InputError(f"{name}: cannot be loaded ({reason})") from error


def default(*names: str) -> str:
    """The first of these models that comes with this installation; "" when none does."""
    return next((name for name in names if name in bundled()), "")


def model_field(value: str, info: str = "a bundled name, a folder, or open_clip:, timm:, hf:, hf-hub:") -> gr.Dropdown:
    """Where a model is named."""
    return gr.Dropdown(
        bundled(), value=value or None, label="Model", info=info, allow_custom_value=True, filterable=True
    )
