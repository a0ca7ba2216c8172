"""The interface of training methods: a module that turns a batch into a loss."""

from typing import Any, ClassVar, Self, get_type_hints

from torch import Tensor, nn

from mmcontrast.configurable import Configurable
from mmcontrast.encoders.base import Encoder, Tokenizer, Tower
from mmcontrast.errors import InputError
from mmcontrast.ops.distributed import world_size
from mmcontrast.ops.random import stream_of


class Method(Configurable, nn.Module):
    """A training method, whose ``forward`` reads like the algorithm box of its paper.

    Attributes:
        encoder: The image encoder that evaluations and predictors use after training.
        tokenizer: The tokenizer of methods with text; the data module turns a batch's ``text`` into ``tokens`` with it.
        batch_entries: Names of the entries that ``forward`` reads from a batch, each with the part of the data pipeline
            that adds it.  A batch without one of them is refused.
        random_stream: Number of the stream that the method draws its random numbers from, see ``ops.random``.  It is
            derived from the name of the class where the class does not set it.
    """

    encoder: Encoder
    tokenizer: Tokenizer | None = None
    batch_entries: ClassVar[dict[str, str]] = {}
    random_stream: ClassVar[int]

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "random_stream" not in cls.__dict__:
            cls.random_stream = stream_of(cls.__name__)

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:  # noqa: D102
        self = super().__new__(cls, *args, **kwargs)
        _check_towers(cls, self.init_args)
        return self

    def __init__(self) -> None:
        super().__init__()
        self.register_forward_pre_hook(_check_batch)

    def forward(self, batch: dict[str, Any]) -> dict[str, Tensor]:
        """Computes the loss of a batch.

        Args:
            batch: Tensors by name; the docstring of each method lists them with their shapes and ranges.

        Returns:
            The scalar ``loss``, and further scalars without gradients to be logged.
        """
        raise NotImplementedError

    def before_step(self, progress: float) -> None:
        """Changes gradients between the backward pass and the optimizer step; most methods leave them alone.

        Args:
            progress: Fraction of all steps that are done before this one, in [0, 1).
        """

    def after_step(self, progress: float) -> None:
        """Updates what no gradient moves after each optimizer step, such as EMA teachers and schedules.

        Args:
            progress: Fraction of all steps that are done by now, in (0, 1].
        """

    def images(self, image: Tensor, sample_key: Tensor) -> dict[str, Tensor]:
        """Draws what the method predicts for some images, for ``fit`` and ``predict features``.

        Args:
            image: (B, 3, H, W) in [0, 1].
            sample_key: (B,) int64, the keys of the random draws.

        Returns:
            Panels of (B, 3, h, w) in [0, 1] by title, in display order.

        Raises:
            InputError: The method has nothing to draw.
        """
        raise InputError(f"{type(self).__name__} draws no images")

    def require_negatives(self, count: int) -> None:
        """Refuses to train on a batch without negatives.

        Args:
            count: Number of samples in the batch of this rank.

        Raises:
            InputError: The batches of all ranks hold one sample together.
        """
        if self.training and count * world_size() < 2:
            raise InputError(
                f"{type(self).__name__} contrasts the samples of a batch with each other, and this batch holds only 1; "
                "set data.batch_size to 2 or more"
            )


def _check_towers(cls: type[Method], arguments: dict[str, Any]) -> None:
    """Refuses anything but an encoder for an argument that is annotated as one."""
    for name, wanted in get_type_hints(cls.__init__).items():
        if isinstance(wanted, type) and issubclass(wanted, Tower) and name in arguments:
            value = arguments[name]
            if not isinstance(value, wanted):
                text = repr(value) if isinstance(value, str) else f"a {type(value).__name__}"
                raise InputError(
                    f"{cls.__name__} got {text} as {name}, and needs an object of the class {wanted.__name__}, for "
                    f"example mmcontrast.{'HFText' if 'text' in name else 'TimmEncoder'}(...)"
                )


def _check_batch(method: nn.Module, arguments: tuple[Any, ...]) -> None:
    """Refuses a batch that lacks an entry of ``batch_entries``."""
    assert isinstance(method, Method)
    batch = arguments[0] if arguments else None
    if not isinstance(batch, dict):
        raise InputError(f"{type(method).__name__} got a {type(batch).__name__}; it needs a batch, a dict of tensors")
    if missing := {name: source for name, source in method.batch_entries.items() if name not in batch}:
        names = ", ".join(missing)
        sources = " and ".join(dict.fromkeys(missing.values()))
        raise InputError(
            f"{type(method).__name__} needs {names} in a batch, and this batch has {', '.join(batch) or 'no entries'}; "
            f"set {sources}"
        )
