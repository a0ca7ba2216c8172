"""What a click in the Match app costs, 640 x 480, both pictures known: from the points to both drawn pictures."""

import platform
import shutil
import statistics
import time
from pathlib import Path

import torch
from gradio.utils import get_upload_folder
from PIL import Image

from mmcontrast.apps import match
from mmcontrast.apps.media import PHOTOGRAPHS
from mmcontrast.data.decode import decode, resize
from mmcontrast.loading import bundled

CLICKS = 10


def upload(photograph: str, number: int) -> dict[str, str]:
    """A photograph as the app gets it."""
    folder = Path(get_upload_folder()) / "bench"
    folder.mkdir(parents=True, exist_ok=True)
    Image.fromarray(resize(decode(photograph), 480, 640)).save(folder / f"{number}.png")
    return {"path": str(folder / f"{number}.png")}


def main() -> None:
    """Prints a table."""
    torch.set_num_threads(1)
    left, right = (upload(PHOTOGRAPHS[place], place) for place in (0, 1))
    print("| model | first click, s | each further click, s |\n|---|---|---|")
    for name in [model for model in ("don-lite", "clip-lite") if model in bundled()] + ["lab"]:
        times = []
        for click in range(CLICKS + 1):
            start = time.process_time()
            match.match(left, right, f"{100 + 30 * click},{200 + 7 * click}", name)
            times.append(time.process_time() - start)
        print(f"| {name} | {times[0]:.2f} | {statistics.median(times[1:]):.3f} |")
    shutil.rmtree(Path(left["path"]).parent)
    print(f"\n{platform.processor() or platform.machine()}, torch {torch.__version__}, one thread, CPU time.")


if __name__ == "__main__":
    main()
