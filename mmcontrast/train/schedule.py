"""Schedules as pure functions of the step, so that a resumed run needs no scheduler state."""

import math
from collections.abc import Sequence
from typing import Literal

Shape = Literal["cosine", "linear", "constant", "step"]


def cosine_ramp(start: float, end: float, progress: float) -> float:
    """From ``start`` to ``end`` along half a cosine, progress in [0, 1]: EMA momentum, weight decay."""
    return end + (start - end) * 0.5 * (1 + math.cos(math.pi * min(max(progress, 0.0), 1.0)))


def warmup_steps(warmup: float, total: int) -> int:
    """``warmup`` below 1 is a share of all steps, else a number of steps; never more than all of them."""
    return min(total, round(warmup * total) if warmup < 1 else round(warmup))


def learning_rate_factor(
    step: int,
    total: int,
    warmup: float = 0.0,
    shape: Shape = "cosine",
    final: float = 0.0,
    milestones: Sequence[float] = (),
    gamma: float = 0.1,
) -> float:
    """What to multiply the peak learning rate with.

    Args:
        step: optimizer steps done so far, 0 to total - 1.
        total: optimizer steps of the whole run.
        warmup: length of the linear rise from 1 / warm-up to 1; see ``warmup_steps``.
        shape: what follows the warm-up: a cosine (SGDR, Loshchilov and Hutter 2017, equation 5, without restarts), a
            line, a constant, or drops by ``gamma`` at ``milestones``.
        final: the factor at the end of a cosine or a line.
        milestones: shares of the run in [0, 1] at which the "step" shape drops.
    """
    rise = warmup_steps(warmup, total)
    if step < rise:
        return (step + 1) / rise
    progress = (step - rise) / max(1, total - rise)
    if shape == "cosine":
        return cosine_ramp(1.0, final, progress)
    if shape == "linear":
        return 1 + (final - 1) * progress
    if shape == "step":
        return float(gamma ** sum(step >= share * total for share in milestones))
    return 1.0
