"""Checks of options that several predictors share."""

import math

from mmcontrast.errors import InputError


def check_at_least(name: str, value: float | None, least: int) -> None:
    """Refuses a number below ``least`` or NaN; None passes.

    Raises:
        InputError: The value is too low.
    """
    if value is not None and not value >= least:
        raise InputError(f"{name} is {value}; give {least} or more")


def check_positive(name: str, value: float | None) -> None:
    """Refuses 0, negative numbers, infinity and NaN; None passes.

    Raises:
        InputError: The value is none that can be used.
    """
    if value is not None and not (value > 0 and math.isfinite(value)):
        raise InputError(f"{name} is {value}; give a finite number above 0")
