"""The interface of encoders: an image encoder has two outputs, a pooled vector and a feature grid."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Self

import torch
from torch import Tensor, nn

from mmcontrast.configurable import Configurable
from mmcontrast.errors import InputError


class Tower(Configurable, nn.Module):
    """The base class of image, text and audio encoders.

    Constructor arguments named ``pretrained`` and ``weights`` are for initial weights. They are left out when a trained
    model is loaded, since its own weights follow.

    Attributes:
        dim: Width D of the output.
        frozen: Whether the encoder stays in evaluation mode, see ``freeze``.
    """

    dim: int
    frozen: bool = False

    def layer_ids(self) -> dict[str, int]:
        """Returns the depth of each parameter by its name, for layer decay and partly frozen towers.

        Returns:
            0 for the stem, 1 to L for the blocks, and L + 1 for what follows them.
        """
        stacks = [(n, m) for n, m in self.named_modules() if isinstance(m, nn.ModuleList | nn.Sequential)]
        if not stacks:
            return {name: 0 for name, _ in self.named_parameters()}
        stack_name, stack = max(stacks, key=lambda item: sum(any(True for _ in b.parameters()) for b in item[1]))
        ids, depth = {}, 0
        for name, _ in self.named_parameters():
            if name.startswith(f"{stack_name}."):
                depth = 1 + int(name[len(stack_name) + 1 :].split(".")[0])
                ids[name] = depth
            else:
                ids[name] = 0 if depth == 0 else len(stack) + 1
        return ids

    def freeze(self, trainable_layers: int | None = 0) -> None:
        """Freezes all but the last layers, and keeps the tower in evaluation mode, batch norm included.

        Args:
            trainable_layers: Number of the last layers, counted by ``layer_ids``, that are still trained; 0 freezes all
                of them, None undoes an earlier call.
        """
        for module in self.modules():
            if isinstance(module, Tower):
                module.frozen = trainable_layers is not None
        if trainable_layers is None:
            self.requires_grad_(True)
            return
        ids = self.layer_ids()
        first = max(ids.values()) + 1 - trainable_layers
        for name, parameter in self.named_parameters():
            if ids[name] < first:
                parameter.requires_grad_(False)
        self.eval()

    def train(self, mode: bool = True) -> Self:
        """Sets training mode; a frozen tower stays in evaluation mode."""
        return super().train(mode and not self.frozen)

    def drop_patches(self, rate: float) -> None:
        """Leaves out a random fraction ``rate`` of each image's patches while training (FLIP, 2212.00794).

        Raises:
            InputError: The encoder is no vision transformer.
        """
        raise InputError(f"{type(self).__name__} has no patches to drop; patch dropout is for vision transformers.")

    def save_files(self, folder: Path) -> dict[str, Any]:
        """Writes the files that the constructor reads besides weights, such as a tokenizer.

        Args:
            folder: Directory of the export.

        Returns:
            Constructor arguments that differ from the present ones; paths are relative to ``folder`` and begin with
            ``./``.
        """
        return {}


class Encoder(Tower):
    """The base class of image encoders.

    Images are float in [0, 1]. The encoder normalizes them by its own ``mean`` and ``std``, so that no caller can
    normalize them wrongly.

    Args:
        mean: Mean of each channel, which is subtracted.
        std: Standard deviation of each channel, by which is divided.

    Attributes:
        dim: Width D of both outputs, pooled and grid.
        stride: Pixels per cell of the grid.
        image_size: Side in pixels to which images are resized for the pooled output; the grid takes any size.
        interpolation: How images are resized: "bicubic" or "bilinear".
        crop: How images become square: "center" resizes the shorter side and cuts the center square, "squash" resizes
            both sides.

    >>> import torch
    >>> from mmcontrast.encoders import TinyConv
    >>> encoder, image = TinyConv(8), torch.rand(1, 3, 32, 48)
    >>> encoder(image).shape, encoder.grid(image).shape
    (torch.Size([1, 8]), torch.Size([1, 8, 8, 12]))
    """

    stride: int
    image_size: int
    interpolation: str = "bicubic"
    crop: Literal["center", "squash"] = "center"
    mean: Tensor
    std: Tensor

    def __init__(self, mean: Sequence[float] = (0.0, 0.0, 0.0), std: Sequence[float] = (1.0, 1.0, 1.0)) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean).view(-1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(-1, 1, 1), persistent=False)

    def normalize(self, image: Tensor) -> Tensor:
        """Normalizes images (B, C, H, W) in [0, 1] as those that the network was trained with.

        Raises:
            InputError: These are no images in float.
        """
        if not isinstance(image, Tensor) or not image.is_floating_point():
            kind = f"{image.dtype} tensor" if isinstance(image, Tensor) else type(image).__name__
            raise InputError(
                f"An encoder takes images (B, C, H, W) of float in [0, 1], not a {kind}; predictors take any."
            )
        return (image - self.mean) / self.std

    def grid(self, image: Tensor) -> Tensor:
        """Computes features (B, D, ceil(H / stride), ceil(W / stride)) of images (B, C, H, W) in [0, 1]."""
        raise NotImplementedError

    def forward(self, image: Tensor) -> Tensor:
        """Computes one vector (B, D) for each image (B, C, H, W) in [0, 1]."""
        return self.grid(image).mean((2, 3))

    def for_dense_tasks(self) -> "Encoder":
        """Returns an encoder with the same weights whose grid is fine enough for tracking and matching."""
        return self

    def blocks(self, image: Tensor) -> list[Tensor]:
        """Computes the features (B, D_i, h_i, w_i) of each block, from the first to the last.

        Args:
            image: Images (B, C, H, W) in [0, 1].

        Returns:
            The features of each block; an encoder without blocks returns its grid.
        """
        return [self.grid(image)]

    def attention(self, image: Tensor) -> Tensor:
        """Computes how much the last block attends to each cell.

        Args:
            image: Images (B, C, H, W) in [0, 1].

        Returns:
            Attention (B, heads, h, w), of sum 1 at most in each map.

        Raises:
            InputError: The encoder has no attention.
        """
        raise InputError(f"{type(self).__name__} has no attention to show; give a vision transformer.")


class Tokenizer:
    """The base class of tokenizers, which can be pickled, so that data workers need no network.

    Attributes:
        context_length: Number of tokens after which a text is cut.
        pad: Id that fills short rows.
    """

    context_length: int
    pad: int = 0

    def __call__(self, texts: Sequence[str]) -> Tensor:
        """Tokenizes B texts; returns (B, L) int64, L <= context_length. Short rows are padded, long texts are cut."""
        raise NotImplementedError

    def count(self, text: str) -> int:
        """Returns the number of tokens that ``text`` needs before it is cut."""
        raise NotImplementedError


class TextEncoder(Tower):
    """The base class of text encoders.

    Attributes:
        tokenizer: The tokenizer of the encoder.
    """

    tokenizer: Tokenizer

    def forward(self, tokens: Tensor) -> Tensor:
        """Computes vectors (B, D) of tokenized texts (B, L) int64."""
        raise NotImplementedError
