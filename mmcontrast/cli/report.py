"""The report of a command: one JSON object on stdout, and in ``metrics.json`` of the folder ``--out``.

``report.schema.json`` beside this file is its schema.
"""

import json
import math
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmcontrast import __version__
from mmcontrast.cli.commands import running_command
from mmcontrast.cli.output import OutputFolder

SCHEMA = Path(__file__).with_name("report.schema.json")

# Parameters that are no settings: they have keys of their own, or say nothing about the figures.
_NO_SETTINGS = {"ctx", "data", "model", "overwrite", "paths", "test_data", "train_data", "video"}


def report(
    *,
    model: str | Sequence[str] | None,
    data: str | Sequence[str] | Mapping[str, str | None],
    metrics: Mapping[str, Any],
    counts: Mapping[str, int],
    settings: Mapping[str, Any] | None = None,
    out: OutputFolder | None = None,
) -> int:
    """Prints the report of the command that runs, and writes it to ``out``.

    Args:
        model: What ``--model`` named, or None for a command without one.
        data: Where the inputs lie, or {role: where}, such as {"train": ..., "test": ...}.
        metrics: The figures. For several models: {model: figures}. Numbers that are not finite become null.
        counts: Numbers of inputs. "errors" is the number of inputs that could not be used.
        settings: Settings that are no option of the command, added to the options' values.
        out: The folder of the results; None writes nothing.

    Returns:
        The exit code: 1 if ``counts["errors"]`` is above 0, else 0.
    """
    name, parameters = running_command()
    options = {key: value for key, value in parameters.items() if key not in _NO_SETTINGS}
    document = {
        "model": model,
        "data": data,
        "metrics": metrics,
        "counts": counts,
        "settings": {"command": name, **options, **(settings or {})},
        "version": __version__,
    }
    text = _escaped(json.dumps(_plain(document), indent=2, ensure_ascii=False, allow_nan=False))
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
    if out is not None:
        (out / "metrics.json").write_text(text + "\n", encoding="utf-8")
    return 1 if counts.get("errors") else 0


def _plain(value: Any) -> Any:
    """Returns a value that JSON can hold."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, bool | int | str):
        return value
    if hasattr(value, "tolist"):  # a NumPy number or array, or a tensor
        return _plain(value.tolist())
    return str(value)


def _escaped(text: str) -> str:
    """Escapes the control characters that JSON leaves as they are, and file names that are not UTF-8."""
    return re.sub(
        r"[\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]", lambda match: f"\\u{ord(match.group()):04x}", text
    )
