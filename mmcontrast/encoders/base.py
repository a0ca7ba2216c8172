"""One interface for three tracks: every image encoder has a pooled vector and a feature grid."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Self

import torch
from torch import Tensor, nn

from mmcontrast.configurable import Configurable
from mmcontrast.errors import InputError


class Tower(Configurable, nn.Module):
    """What image and text encoders share.

    Constructor arguments named ``pretrained`` and ``weights`` say where first weights come from.  Loading a trained
    model leaves them out, since its own weights follow.
    """

    dim: int
    frozen: bool = False

    def layer_ids(self) -> dict[str, int]:
        """Name of each parameter -> its depth: 0 the stem, 1 to L the blocks, L + 1 what follows them.

        Layer decay and partly frozen towers count from the end of this.
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
        """While training, leave out a random share ``rate`` of each image's patches (FLIP, 2212.00794)."""
        raise InputError(f"{type(self).__name__} has no patches to drop; patch dropout is for vision transformers")

    def save_files(self, folder: Path) -> dict[str, Any]:
        """Write what the constructor reads besides weights (a tokenizer) under ``folder``.

        Returns:
            Constructor arguments that point there, as paths relative to ``folder`` that start with ``./``.
        """
        return {}


class Encoder(Tower):
    """An image encoder.

    Images are float in [0, 1]; the encoder normalizes them itself with its ``mean`` and ``std``, so that no caller
    can get that wrong.

    Attributes:
        dim: channels D of both faces.
        stride: image pixels per grid cell.
        image_size: side in pixels that images are resized to for the pooled face; the grid takes any size.
        interpolation: "bicubic" or "bilinear", how they are resized.
        crop: "center" resizes the shorter side and cuts the middle square; "squash" resizes both sides.
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
        """(B, C, H, W) in [0, 1] -> the same, centered and scaled as the network was trained."""
        if not isinstance(image, Tensor) or not image.is_floating_point():
            kind = f"{image.dtype} tensor" if isinstance(image, Tensor) else type(image).__name__
            raise InputError(
                f"an encoder takes images (B, C, H, W) of float in [0, 1], not a {kind}; predictors take any"
            )
        return (image - self.mean) / self.std

    def grid(self, image: Tensor) -> Tensor:
        """(B, C, H, W) in [0, 1] -> (B, D, ceil(H / stride), ceil(W / stride))."""
        raise NotImplementedError

    def forward(self, image: Tensor) -> Tensor:
        """(B, C, H, W) in [0, 1] -> (B, D)."""
        return self.grid(image).mean((2, 3))

    def for_dense_tasks(self) -> "Encoder":
        """The same network with a grid fine enough to track and match with: itself, unless it has finer levels."""
        return self

    def blocks(self, image: Tensor) -> list[Tensor]:
        """(B, C, H, W) in [0, 1] -> what each block says, from the first to the last, (B, D_i, h_i, w_i) each."""
        return [self.grid(image)]

    def attention(self, image: Tensor) -> Tensor:
        """(B, C, H, W) in [0, 1] -> (B, heads, h, w), where the last block looks; each map is of sum 1 at most.

        Raises:
            InputError: the encoder has no attention.
        """
        raise InputError(f"{type(self).__name__} has no attention to show; give a vision transformer")


class Tokenizer:
    """Texts to token ids; a plain picklable object, so that data workers can hold one without the network.

    Attributes:
        context_length: tokens after which a text is cut.
        pad: the id that fills short rows.
    """

    context_length: int
    pad: int = 0

    def __call__(self, texts: Sequence[str]) -> Tensor:
        """B strings -> (B, L) int64, L <= context_length, padded; longer texts are cut."""
        raise NotImplementedError

    def count(self, text: str) -> int:
        """Tokens that ``text`` needs, before any cut."""
        raise NotImplementedError


class TextEncoder(Tower):
    """A text encoder with the tokenizer that belongs to it."""

    tokenizer: Tokenizer

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, L) int64 -> (B, D)."""
        raise NotImplementedError
