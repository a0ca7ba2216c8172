"""The check of the entries that an augmentation reads from a batch."""

from typing import Any

from torch import nn

from mmcontrast.errors import InputError


def require_entries(augmentation: nn.Module, batch: dict[str, Any], *names: str) -> None:
    """Refuses a batch that lacks an entry which the augmentation reads.

    Args:
        augmentation: The augmentation, which the message names.
        batch: The batch.
        *names: Names of the entries that the augmentation reads.

    Raises:
        InputError: The batch lacks at least one of the entries.
    """
    if missing := [name for name in names if name not in batch]:
        raise InputError(
            f"{type(augmentation).__name__} needs {', '.join(missing)} in a batch, and this batch has "
            f"{', '.join(batch) or 'no entries'}; set data.train to a data set that provides what is missing, or "
            "data.augment to an augmentation that fits the data set"
        )
