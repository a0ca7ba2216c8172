"""The rows of ``mmcontrast predict zero-shot``: CSV, JSON lines, or a table on the terminal."""

import json
import shutil
import sys
import textwrap
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any
from unicodedata import combining, east_asian_width

from mmcontrast.cli.csv_table import open_csv
from mmcontrast.cli.terminal import printable

FORMATS = (".csv", ".jsonl")


@dataclass
class Row:
    """The labels of one file.

    Attributes:
        path: The file.
        best: The best labels with their scores in [0, 1], best first.
        scores: The score of every label; empty where they are not wanted.
        error: What is wrong with the file; empty if nothing is.
    """

    path: str
    best: Sequence[tuple[str, float]] = ()
    scores: Sequence[float] = ()
    error: str = ""


WriteRow = Callable[[Row], None]


@contextmanager
def open_table(file: Path | None, labels: Sequence[str], top: int, safe: bool = False) -> Iterator[WriteRow]:
    """Opens a table for rows.

    Args:
        file: A file that ends in .csv or .jsonl, or None for a table on stderr.
        labels: The names of ``Row.scores``; empty where they are not wanted.
        top: Number of labels in a row.
        safe: See ``open_csv``.

    Yields:
        A function that writes a row.
    """
    if file is None:
        yield _terminal(labels)
    elif file.suffix.lower() == ".jsonl":
        with file.open("w", encoding="utf-8", errors="backslashreplace") as stream:
            yield lambda row: print(json.dumps(_record(row, labels, top), ensure_ascii=False), file=stream)
    else:
        more = [name for rank in range(2, top + 1) for name in (f"label_{rank}", f"score_{rank}")]
        columns = ["path", "label", "score", "error", *more, *(f"score:{label}" for label in labels)]
        with open_csv(file, columns, safe) as write:
            yield lambda row: write(_cells(row, labels, top))


def _cells(row: Row, labels: Sequence[str], top: int) -> list[str]:
    """Returns the cells of a row in CSV."""
    label, score = (row.best[0][0], _short(row.best[0][1])) if row.best else ("", "")
    more = [cell for name, value in row.best[1:] for cell in (name, _short(value))] or [""] * (2 * top - 2)
    return [row.path, label, score, row.error, *more, *(map(_short, row.scores) if row.scores else [""] * len(labels))]


def _record(row: Row, labels: Sequence[str], top: int) -> dict[str, Any]:
    """Returns the object of a row in JSON lines."""
    label, score = row.best[0] if row.best else (None, None)
    record: dict[str, Any] = {"path": row.path, "label": label, "score": score, "error": row.error or None}
    if top > 1:
        record["top"] = [{"label": name, "score": value} for name, value in row.best]
    if labels:
        record["scores"] = dict(zip(labels, row.scores, strict=bool(row.scores)))
    return record


def _terminal(labels: Sequence[str]) -> WriteRow:
    """Prints the header of a table on stderr and returns what prints a row."""
    width = shutil.get_terminal_size().columns
    left = max(16, min(44, width // 2 - 2))
    print(f"{'path':<{left}}  label (score)", file=sys.stderr)

    def write(row: Row) -> None:
        pairs = list(zip(labels, row.scores, strict=True)) if row.scores else row.best
        text = ", ".join(f"{label} ({score:.3f})" for label, score in pairs) or f"error: {row.error}"
        lines = textwrap.wrap(printable(text), max(20, width - left - 2), break_on_hyphens=False)
        path = printable(row.path)
        while _columns(path) > left:
            path = f"…{path[2:]}"
        padded = path + " " * (left - _columns(path))
        cells = zip_longest([padded], lines, fillvalue=" " * left)
        print("\n".join(f"{cell}  {line}" for cell, line in cells), file=sys.stderr)

    return write


def _columns(text: str) -> int:
    """Returns the width of a text on a terminal: emoji and Chinese letters take two columns, combining accents none."""
    return sum(0 if combining(letter) else 1 + (east_asian_width(letter) in "WF") for letter in text)


def _short(score: float) -> str:
    return f"{score:.6g}"
