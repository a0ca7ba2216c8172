"""What a training method is: a module that turns a batch into a loss."""

from typing import Any

from torch import Tensor, nn

from mmcontrast.configurable import Configurable
from mmcontrast.encoders.base import Encoder, Tokenizer
from mmcontrast.errors import InputError


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
        """Runs after each optimizer step, with progress in [0, 1]: EMA teachers, schedules, clamps."""

    def images(self, image: Tensor, sample_key: Tensor) -> dict[str, Tensor]:
        """What the method makes of images, to look at during ``fit`` and by ``predict features``.

        Args:
            image: (B, 3, H, W) in [0, 1].
            sample_key: (B,) int64, of what it draws at random.
        Returns:
            Title -> (B, 3, h, w) in [0, 1], in the order to be shown.
        Raises:
            InputError: the method has nothing to show.
        """
        raise InputError(f"{type(self).__name__} makes no images to look at")
