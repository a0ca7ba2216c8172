"""Schedules as pure functions of the step, so that a resumed run needs no scheduler state."""

import math
from collections.abc import Sequence
from typing import Literal

Shape = Literal["cosine", "linear", "constant", "step"]


def cosine_ramp(start: float, end: float, progress: float) -> float:
    """Returns the value at ``progress`` in [0, 1] of half a cosine from ``start`` to ``end``.

    >>> cosine_ramp(1.0, 0.0, 0.5)
    0.5
    """
    return end + (start - end) * 0.5 * (1 + math.cos(math.pi * min(max(progress, 0.0), 1.0)))


def warmup_steps(warmup: float, total: int) -> int:
    """Returns the length of a warm-up in steps, at most ``total``.

    Args:
        warmup: Below 1 a fraction of all steps, else a number of steps.
        total: Number of all steps.

    >>> warmup_steps(0.1, 50), warmup_steps(10, 50)
    (5, 10)
    """
    return min(total, round(warmup * total) if warmup < 1 else round(warmup))


def learning_rate_factor(
    step: int,
    total: int,
    warmup: float = 0.0,
    shape: Shape = "cosine",
    final: float = 0.0,
    milestones: Sequence[float] = (),
    gamma: float = 0.1,
    from_zero: bool = False,
) -> float:
    """Returns the factor on the peak learning rate at a step.

    Args:
        step: Optimizer steps done so far, 0 to total - 1.
        total: Optimizer steps of the whole run.
        warmup: Length w of the linear rise, see ``warmup_steps``.
        shape: What follows the warm-up: a cosine (SGDR, Loshchilov and Hutter 2017, equation 5, without restarts), a
            line, a constant, or drops by ``gamma`` at ``milestones``.
        final: The factor at the end of a cosine or a line.
        milestones: Fractions of the run in [0, 1] at which the "step" shape drops.
        gamma: The factor of each drop.
        from_zero: Whether the rise goes from 0 to 1, as in DINO's code, or from 1 / w to 1, as in open_clip's.
    """
    rise = warmup_steps(warmup, total)
    if step < rise:
        return step / max(1, rise - 1) if from_zero else (step + 1) / rise
    progress = (step - rise) / max(1, total - rise)
    if shape == "cosine":
        return cosine_ramp(1.0, final, progress)
    if shape == "linear":
        return 1 + (final - 1) * progress
    if shape == "step":
        return float(gamma ** sum(step >= milestone * total for milestone in milestones))
    return 1.0
