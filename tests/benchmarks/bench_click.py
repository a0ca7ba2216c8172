"""What a click in the Match app costs, 640 x 480: the work alone, and over HTTP until both drawn images are there."""

import io
import json
import platform
import statistics
import time
from collections.abc import Callable
from typing import Any

import httpx
import torch
from mmcontrast.apps import match
from mmcontrast.apps.media import PHOTOGRAPHS
from mmcontrast.apps.page import page, start
from PIL import Image

from mmcontrast.data.io.decode import decode
from mmcontrast.data.io.resize import resize
from mmcontrast.models import bundled

CLICKS = 10


def upload(http: httpx.Client, photograph: str) -> dict[str, Any]:
    """A photograph as the app gets it."""
    file = io.BytesIO()
    Image.fromarray(resize(decode(photograph), 480, 640)).save(file, "PNG")
    answer = http.post("gradio_api/upload", files={"files": ("photograph.png", file.getvalue())})
    return {"path": answer.json()[0], "meta": {"_type": "gradio.FileData"}}


def ask(http: httpx.Client, *data: Any) -> int:
    """A click as the browser does it: asks, waits for the answer, fetches both images; gives their bytes."""
    event = http.post("gradio_api/call/match", json={"data": data}).json()["event_id"]
    with http.stream("GET", f"gradio_api/call/match/{event}") as stream:
        left, right = json.loads([line for line in stream.iter_lines() if line.startswith("data: ")][-1][6:])[:2]
    return sum(len(http.get(f"gradio_api/file={image['path']}").content) for image in (left, right))


def timed(click: Callable[[str], Any], down: int) -> list[tuple[float, float]]:
    """Seconds of the CPU and of the clock, by click; each is at a new place."""
    times = []
    for number in range(CLICKS + 1):
        cpu, clock = time.process_time(), time.perf_counter()
        click(f"{100 + 30 * number},{down + 7 * number}")
        times.append((time.process_time() - cpu, time.perf_counter() - clock))
    return times


def main() -> None:
    """Prints a table."""
    torch.set_num_threads(1)
    with page(match.TITLE) as blocks:
        match.build()
    http = httpx.Client(base_url=start(blocks), timeout=300, trust_env=False)
    pair = [upload(http, photograph) for photograph in PHOTOGRAPHS[:2]]
    print("| model | first click, CPU s | further, CPU s | over HTTP, CPU s | over HTTP, clock s | images, KB |")
    print("|---|---|---|---|---|---|")
    for name in [model for model in ("don-lite", "clip-lite") if model in bundled()] + ["lab"]:
        work = timed(lambda at, name=name: match.match(*pair, at, name), 100)
        web = timed(lambda at, name=name: ask(http, *pair, at, name, None), 300)
        alone, both, clock = (
            statistics.median(row[column] for row in rows[1:]) for rows, column in ((work, 0), (web, 0), (web, 1))
        )
        size = ask(http, *pair, "100,200", name, None) / 1000
        print(f"| {name} | {work[0][0]:.2f} | {alone:.3f} | {both:.3f} | {clock:.3f} | {size:.0f} |")
    print(
        f"\n{platform.processor() or platform.machine()}, torch {torch.__version__}, one thread.  Over HTTP, until both"
    )
    print("images are fetched, the client's CPU time counts too, and the clock tells how busy the machine is.")
    blocks.close(verbose=False)


if __name__ == "__main__":
    main()
