"""The contract that all predictors keep."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Generic

import torch

from mmcontrast.encoders.base import Encoder
from mmcontrast.methods.base import Method
from mmcontrast.predict.results import Result, Value


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

    def __init__(
        self,
        model: Encoder | Method | str | Path,
        *,
        device: str | torch.device | None = None,
        batch_size: int = 64,
        resolution: int | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        raise NotImplementedError

    def __call__(self, inputs: Any, *args: Any, **kwargs: Any) -> list[Value]:
        """Returns one value per input.

        Raises:
            InputError: An input cannot be used.
        """
        return [result.unwrap() for result in self.stream(inputs, *args, **kwargs)]

    def stream(self, inputs: Any, *args: Any, **kwargs: Any) -> Iterator[Result[Value]]:
        """Yields one result per input, in order; a bad input is a result with an error."""
        raise NotImplementedError
