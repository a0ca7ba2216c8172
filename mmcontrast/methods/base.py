"""What a training method is: a module that turns a batch into a loss."""

from typing import Any

from torch import Tensor, nn

from mmcontrast.configurable import Configurable
from mmcontrast.encoders.base import Encoder, Tokenizer


class Method(Configurable, nn.Module):
    """A self-supervised method: ``forward(batch)`` reads like the algorithm box of its paper.

    Attributes:
        encoder: what remains after training; evaluations and predictors use it.
        tokenizer: set by methods with text; the data module then turns a batch's ``text`` into ``tokens``.
    """

    encoder: Encoder
    tokenizer: Tokenizer | None = None

    def forward(self, batch: dict[str, Any]) -> dict[str, Tensor]:
        """A batch (each method's docstring gives keys, shapes and ranges) -> ``{"loss": scalar, **scalars to log}``."""
        raise NotImplementedError

    def after_step(self, progress: float) -> None:
        """Runs after each optimiser step, with progress in [0, 1]: EMA teachers, schedules, clamps."""
