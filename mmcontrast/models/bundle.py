"""The models that come with this package."""

from pathlib import Path

BUNDLED = Path(__file__).parent / "weights"


def bundled() -> list[str]:
    """Returns the names of the models that come with this package.

    >>> "clip-lite" in bundled()
    True
    """
    return sorted(path.parent.name for path in BUNDLED.glob("*/config.yaml"))
