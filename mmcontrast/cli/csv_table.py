"""CSV files that commands write."""

import csv
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mmcontrast.errors import InputError

_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def safe_cell(value: Any) -> Any:
    """Returns a cell that spreadsheet programs show as text; numbers stay as they are.

    >>> safe_cell("=1+1.png"), safe_cell("-3.5"), safe_cell("cat")
    ("'=1+1.png", '-3.5', 'cat')
    """
    if not isinstance(value, str) or not value.startswith(_FORMULA):
        return value
    try:
        float(value)
    except ValueError:
        return f"'{value}"
    return value


@contextmanager
def open_csv(file: Path, columns: Sequence[str], safe: bool = False) -> Iterator[Callable[[Sequence[Any]], None]]:
    """Writes a CSV file in UTF-8, with file names that are not UTF-8 in backslash escapes.

    Args:
        file: The file to write.
        columns: The header.
        safe: Whether texts that a spreadsheet program would run as a formula get an apostrophe.

    Yields:
        A function that writes a row.

    Raises:
        InputError: The file cannot be written.
    """
    cell: Callable[[Any], Any] = safe_cell if safe else lambda value: value
    try:
        stream = file.open("w", encoding="utf-8", errors="backslashreplace", newline="")
    except OSError as error:
        raise InputError(f"{file}: cannot be written ({error.strerror})") from error
    with stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow([cell(name) for name in columns])
        yield lambda row: writer.writerow([cell(value) for value in row])
