"""The contract that all predictors keep."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Generic

import torch
from torch import nn

from mmcontrast.encoders.base import Encoder
from mmcontrast.errors import InputError
from mmcontrast.inference.checks import check_at_least
from mmcontrast.inference.device import choose_device, choose_dtype
from mmcontrast.inference.image_batches import iterate_images, read_image, read_items
from mmcontrast.methods.base import Method
from mmcontrast.models.loading import load
from mmcontrast.predict.results import Result, Value

Model = Encoder | Method | str | Path


class Predictor(Generic[Value]):
    """A model applied to images or videos of any kind.

    The contract of every predictor:

    - The model is a ``Method``, an ``Encoder``, or a name or path that ``mmcontrast.load`` knows. The predictor moves
      it to the device, puts it into evaluation mode, and refuses a model that lacks what it needs in one sentence.
    - The options after the model are keyword-only. These come first, in this order, and mean the same everywhere;
      the predictor's own follow.
    - An image is a path, encoded bytes, a PIL image, an (H, W, 3) uint8 array or a (3, H, W) tensor. Inputs are one
      image, a folder (it stands for the images in it), an (N, H, W, 3) array, an (N, 3, H, W) tensor, or an iterable
      of any of these. A video is a path, a folder of frames, a (T, H, W, 3) uint8 array or an open ``Video``.
    - ``predictor(inputs)`` returns a list with one value per input, and raises ``InputError`` for the first input that
      cannot be used.
    - ``predictor.stream(inputs)`` yields one ``Result(item, value, error)`` per input, in order, in bounded memory. A
      bad input is a result with an error. A tracker takes one video; its results are those of the frames, and ``item``
      is the frame's number.
    - Values are the frozen dataclasses of ``mmcontrast.predict.results``: tensors on the CPU, coordinates (x, y) in
      pixels of the input.
    - Several threads may use one predictor.

    Args:
        model: The model, its name, or its path.
        device: Where the model runs. None stands for CUDA or MPS if there is one, else the CPU.
        batch_size: Number of images that the model processes at once.
        resolution: Short side in pixels to which images are resized for the model. None stands for the predictor's
            default.
        dtype: Precision in which the model computes, such as ``torch.bfloat16``. Results are float32 all the same.
            None stands for float32.

    Raises:
        InputError: The model lacks what the predictor needs, or an option is out of range.
    """

    model: nn.Module

    def __init__(
        self,
        model: Model,
        *,
        device: str | torch.device | None = None,
        batch_size: int = 64,
        resolution: int | None = None,
        dtype: torch.dtype | str | None = None,
    ) -> None:
        check_at_least("batch_size", batch_size, 1)
        check_at_least("resolution", resolution, 1)
        self.device, self.dtype = choose_device(device), choose_dtype(dtype)
        self.batch_size, self.resolution = batch_size, resolution
        loaded = load(model) if isinstance(model, str | Path) else model
        if not isinstance(loaded, Method | Encoder):
            raise InputError(
                f"a {type(loaded).__name__} is no model; give a Method, an Encoder, or a name or path of one"
            )
        self.model = self._adapt(loaded).to(self.device).eval()

    def __call__(self, inputs: Any, /, *args: Any, **kwargs: Any) -> list[Value]:
        """Returns one value per input; the arguments are those of ``stream``.

        Raises:
            InputError: An input cannot be used; the message says which and why.
        """
        return [result.unwrap() for result in self.stream(inputs, *args, **kwargs)]

    def stream(self, inputs: Any, /, *args: Any, **kwargs: Any) -> Iterator[Result[Value]]:
        """Yields one result per input, in order; a bad input is a result with an error."""
        raise NotImplementedError

    def _adapt(self, model: Method | Encoder) -> nn.Module:
        """Returns the part of the model that this predictor uses, or raises InputError that says what it lacks."""
        raise NotImplementedError

    def _run(
        self, images: Any, read: Callable[[Any], Any], predict: Callable[[list[Any]], Sequence[Value]]
    ) -> Iterator[Result[Value]]:
        """Yields the results of images that ``read`` reads ahead in threads and ``predict`` takes in batches."""
        read_one = partial(read_image, read=read)
        for batch in read_items(read_one, iterate_images(images), self.batch_size):
            readable = [entry.value for entry in batch if entry.error is None]
            values = iter(predict(readable) if readable else ())
            for entry in batch:
                yield Result(entry.item, error=entry.error) if entry.error else Result(entry.item, next(values))


def image_encoder(model: Method | Encoder) -> Encoder:
    """Returns the image encoder of a model.

    Raises:
        InputError: The model encodes something else than images.
    """
    encoder = getattr(model, "encoder", None) if isinstance(model, Method) else model
    if not isinstance(encoder, Encoder):
        raise InputError(f"a {type(model).__name__} has no image encoder; give a model of images, such as 'clip-lite'")
    return encoder
