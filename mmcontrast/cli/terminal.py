"""What commands say on stderr: messages in one line, with control characters escaped."""

import re
import sys
from collections.abc import Iterable
from typing import TypeVar

T = TypeVar("T")

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def printable(text: str) -> str:
    r"""Returns text whose control characters are escaped, so that a file name cannot steer the terminal.

    >>> printable("a\nb\x1b[2J.png")
    'a\\nb\\x1b[2J.png'
    """
    escaped = _CONTROL.sub(lambda match: repr(match.group())[1:-1], text)
    return escaped.encode("utf-8", "backslashreplace").decode()


def say(message: str) -> None:
    """Prints one line on stderr that begins with the program's name."""
    print(f"mmcontrast: {printable(message)}", file=sys.stderr, flush=True)


def progress(items: Iterable[T], total: int | None, item_name: str, visible: bool = True) -> Iterable[T]:
    """Returns the items with a progress bar on stderr, which is shown on a terminal only.

    Args:
        items: What is iterated over.
        total: Number of items.
        item_name: What an item is, such as "image".
        visible: False shows no bar at all.
    """
    from tqdm import tqdm

    return tqdm(items, total=total, unit=item_name, disable=None if visible else True, leave=False)
