"""Where a predictor's rows go: CSV, JSON lines, or a table on the terminal."""

import csv
import json
import shutil
import textwrap
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any, TextIO
from unicodedata import combining, east_asian_width

from mmcontrast.errors import InputError


@dataclass
class Row:
    """One file: its best labels with scores in [0, 1], the score of every label where asked for, or what went wrong."""

    path: str
    best: Sequence[tuple[str, float]] = ()
    scores: Sequence[float] = ()
    error: str = ""


Sink = Callable[[Row], None]


@contextmanager
def open_sink(out: str | None, labels: Sequence[str], top: int) -> Iterator[Sink]:
    """A function that takes rows, for ``out`` that ends in .csv or .jsonl, or None for a table on stdout.

    Args:
        labels: names of ``Row.scores``; none where they are not asked for.
        top: labels per row.
    """
    if out is None:
        yield _table(labels, top)
        return
    writer, file = writer_of(out), Path(out)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        stream = file.open("w", encoding="utf-8", errors="backslashreplace", newline="")
    except OSError as error:
        raise InputError(f"--out {out}: cannot be written ({error.strerror})") from error
    with stream:
        yield writer(stream, labels, top)


def writer_of(out: str) -> Callable[[TextIO, Sequence[str], int], Sink]:
    """Chooses the format by the ending.

    Raises:
        InputError: for an ending other than .csv and .jsonl.
    """
    writers = {".csv": _csv, ".jsonl": _jsonl}
    ending = Path(out).suffix.lower()
    if ending not in writers:
        raise InputError(f"--out {out}: the name must end in .csv or .jsonl")
    return writers[ending]


def _csv(stream: TextIO, labels: Sequence[str], top: int) -> Sink:
    writer = csv.writer(stream, lineterminator="\n")
    more = [name for place in range(2, top + 1) for name in (f"label_{place}", f"score_{place}")]
    writer.writerow(["path", "label", "score", "error", *more, *(f"score:{label}" for label in labels)])

    def write(row: Row) -> None:
        label, score = row.best[0] if row.best else ("", None)
        best = [cell for name, value in row.best[1:] for cell in (name, _short(value))] or [""] * len(more)
        scores = [_short(score) for score in row.scores] or [""] * len(labels)
        writer.writerow([row.path, label, _short(score), row.error, *best, *scores])

    return write


def _jsonl(stream: TextIO, labels: Sequence[str], top: int) -> Sink:
    def write(row: Row) -> None:
        label, score = row.best[0] if row.best else (None, None)
        record: dict[str, Any] = {"path": row.path, "label": label, "score": score, "error": row.error or None}
        if top > 1:
            record["top"] = [{"label": name, "score": value} for name, value in row.best]
        if labels:
            record["scores"] = dict(zip(labels, row.scores, strict=bool(row.scores)))
        stream.write(json.dumps(record, ensure_ascii=False) + "\n")

    return write


def _table(labels: Sequence[str], top: int) -> Sink:
    width = shutil.get_terminal_size().columns
    left = max(16, min(44, width // 2 - 2))
    print(f"{'path':<{left}}  label (score)")

    def write(row: Row) -> None:
        shown = list(zip(labels, row.scores, strict=True)) if row.scores else row.best
        cells = [f"{label} ({score:.3f})" for label, score in shown]
        text = ", ".join(cells) or f"error: {row.error}"
        lines = textwrap.wrap(text, max(20, width - left - 2), break_on_hyphens=False)
        path = row.path
        while _columns(path) > left:
            path = f"…{path[2:]}"
        padded = path + " " * (left - _columns(path))
        print("\n".join(f"{cell}  {line}" for cell, line in zip_longest([padded], lines, fillvalue=" " * left)))

    return write


def _columns(text: str) -> int:
    """How wide a terminal shows it: emoji and Chinese letters take two columns, accents of their own none."""
    return sum(0 if combining(letter) else 1 + (east_asian_width(letter) in "WF") for letter in text)


def _short(score: float | None) -> str:
    return "" if score is None else f"{score:.6g}"
