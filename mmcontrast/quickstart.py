"""``mmcontrast quickstart``: every track once, offline, on photographs that installed packages carry."""

import argparse
import importlib.util
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple


class Photograph(NamedTuple):
    """A real photograph inside an installed package."""

    package: str
    path: str

    def file(self) -> Path | None:
        """Where it lies; None when the package, or this file of it, is not installed."""
        found = importlib.util.find_spec(self.package)
        for folder in (found and found.submodule_search_locations) or ():
            if (file := Path(folder, self.path)).is_file():
                return file
        return None


PHOTOGRAPHS = (
    Photograph("gradio", "media_assets/images/cheetah1.jpg"),
    Photograph("gradio", "media_assets/images/lion.jpg"),
    Photograph("gradio", "media_assets/images/cheetah.jpg"),
    Photograph("gradio", "test_data/cheetah2.jpg"),
    Photograph("gradio", "media_assets/images/tower.jpg"),
    Photograph("sklearn", "datasets/images/china.jpg"),
    Photograph("sklearn", "datasets/images/flower.jpg"),
)
LABELS = (
    "cheetah", "lion", "tiger", "house cat", "dog", "horse", "tower", "temple", "bridge", "beach", "car", "ship",
    "flower", "tree",
)  # fmt: skip


def zero_shot(out: Path) -> None:
    """Names the photographs: a table, zero_shot.csv and zero_shot.png."""
    from mmcontrast.predict.contact_sheet import draw_contact_sheet
    from mmcontrast.predict.rows import Row, open_sink
    from mmcontrast.predict.zero_shot import ZeroShotClassifier

    files = [file for photograph in PHOTOGRAPHS if (file := photograph.file())]
    print(f"Zero-shot: {len(files)} photographs, {len(LABELS)} labels, model clip-lite")
    if not files:
        print("  skipped: neither gradio nor scikit-learn carries the photographs any more")
        return
    guesses = ZeroShotClassifier("clip-lite", LABELS).top(files, k=3)
    print(f"  {'photograph':<16}{'first guess':<22}{'second guess':<22}{'third guess'}")
    with open_sink(str(out / "zero_shot.csv"), [], top=3) as write:
        for file, best in zip(files, guesses, strict=True):
            write(Row(str(file), best))
            print(f"  {file.name:<16}" + "".join(f"{f'{label} {score:.0%}':<22}" for label, score in best).rstrip())
    draw_contact_sheet(files, guesses, out / "zero_shot.png", f"clip-lite chooses among {len(LABELS)} labels")
    print(f"  -> {out / 'zero_shot.csv'}, {out / 'zero_shot.png'}")


STEPS: tuple[Callable[[Path], None], ...] = (zero_shot,)


def add_parsers(subparsers) -> None:
    """Adds the ``quickstart`` subcommand."""
    text = "Run every track once, offline, with the bundled models, on photographs that installed packages carry."
    parser = subparsers.add_parser("quickstart", help="see every track work, offline", description=text)
    parser.add_argument("--out", default="runs/quickstart", metavar="DIR", help="folder for results (%(default)s)")
    parser.set_defaults(run=run_quickstart)


def run_quickstart(args: argparse.Namespace) -> int:
    """Runs every step; returns 0."""
    started, out = time.monotonic(), Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    for step in STEPS:
        step(out)
    print(f"Done in {time.monotonic() - started:.0f} s.")
    return 0
