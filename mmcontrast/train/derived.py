"""Settings that a recipe leaves to the size of the training set: the fields that say ``auto``."""

from collections.abc import Iterable
from typing import Any

from mmcontrast.errors import InputError

_SAMPLES_PER_RUN = 50_000  # minutes on a CPU with small images


def derive_settings(config: dict[str, Any], paths: Iterable[str], size: int) -> dict[str, float]:
    """Chooses a value for each ``auto``.

    - ``batch_size``: A quarter of the set, a power of two from 8 to 256.
    - ``max_epochs``: As many as show 50,000 samples, from 20 to 200.
    - ``warmup``: A twentieth of the steps, or 100 steps where that is more, but at most a fifth of all.
    - ``queue_size`` and ``prototypes``: An eighth of the set, a power of two from 64 to 65,536; a queue holds at least
      two batches.

    Args:
        config: The config, where other fields have their values.
        paths: Dotted paths of the fields that say ``auto``.
        size: Number of training samples.

    Returns:
        The values by path.

    Raises:
        InputError: No rule knows a field, or the set is too small.

    >>> config = {"data": {"batch_size": "auto"}, "trainer": {"max_epochs": 10}, "model": {"warmup": "auto"}}
    >>> derive_settings(config, ["model.warmup", "data.batch_size"], 200)
    {'data.batch_size': 32, 'model.warmup': 12}
    """
    if size < 8:
        raise InputError(f"the training set has {size} samples; a recipe that derives its settings needs at least 8")
    fields = {path.rpartition(".")[2]: path for path in paths}
    if unknown := fields.keys() - {"batch_size", "max_epochs", "warmup", "queue_size", "prototypes"}:
        raise InputError(f"no rule derives {', '.join(sorted(unknown))} from the size of the data; give a number")
    derived: dict[str, int] = {
        "batch_size": _power_of_two(size / 4, 8, 256),
        "max_epochs": min(200, max(20, _SAMPLES_PER_RUN // size)),
    }
    batch = derived["batch_size"] if "batch_size" in fields else int(config["data"].get("batch_size", 64))
    epochs = derived["max_epochs"] if "max_epochs" in fields else int(config["trainer"].get("max_epochs", 10))
    steps = max(1, size // batch) * max(1, epochs)
    derived["warmup"] = round(max(0.05 * steps, min(100, steps / 5)))
    derived["prototypes"] = _power_of_two(size / 8, 64, 65536)
    derived["queue_size"] = max(derived["prototypes"], 2 * batch)
    return {fields[name]: value for name, value in derived.items() if name in fields}


def _power_of_two(value: float, least: int, greatest: int) -> int:
    """Returns the largest power of two up to ``value``, within bounds that are powers of two."""
    return min(greatest, max(least, 1 << max(0, int(value)).bit_length() - 1 if value >= 1 else least))
