"""Writes image-text models as ONNX graphs."""

from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from mmcontrast.errors import InputError
from mmcontrast.extras import require
from mmcontrast.methods.clip import CLIP
from mmcontrast.models.exporting import as_method


def export_onnx(model: CLIP | str | Path, out: str | Path) -> list[Path]:
    """Writes image.onnx and text.onnx, which compute unit vectors (B, dim) of images and texts, for any B.

    The input of the first is ``image`` (B, 3, S, S) float32 in [0, 1], where S is the image size; that of the second is
    ``tokens`` (B, L) int64 from the tokenizer, which ``export`` writes. The output of both is ``vector``.

    Args:
        model: An image-text model, or its name for ``load``.
        out: Directory for the files.

    Returns:
        The paths of both files.

    Raises:
        InputError: The extra ``export`` is not installed, or the model has no text encoder.
    """
    require("onnx", "onnxscript")
    clip, folder = as_method(model), Path(out)
    if not isinstance(clip, CLIP):
        raise InputError(f"ONNX export is for image-text models; {type(clip).__name__} is none.")
    assert clip.tokenizer is not None
    folder.mkdir(parents=True, exist_ok=True)
    size = clip.image_encoder.image_size
    batch = torch.export.Dim("batch", min=1)
    tokens = clip.tokenizer(["a photo of a cat", "two dogs"])
    _write(_Embedder(clip, "embed_image"), "image", torch.rand(2, 3, size, size), {0: batch}, folder / "image.onnx")
    length = torch.export.Dim("length", min=1)
    _write(_Embedder(clip, "embed_text"), "tokens", tokens, {0: batch, 1: length}, folder / "text.onnx")
    return [folder / "image.onnx", folder / "text.onnx"]


def _write(embedder: "_Embedder", name: str, example: Tensor, sizes: dict[int, object], path: Path) -> None:
    weight_bytes = sum(p.numel() * p.element_size() for p in embedder.parameters())
    torch.onnx.export(
        embedder.eval(),
        (example,),
        path,
        input_names=[name],
        output_names=["vector"],
        dynamic_shapes=(sizes,),
        external_data=weight_bytes > 2**30,  # in a file beside the graph, since a graph holds 2 GB at most
        verbose=False,
        dynamo=True,
    )


class _Embedder(nn.Module):
    """One of the two embedding functions of a model as a module."""

    def __init__(self, clip: CLIP, function: Literal["embed_image", "embed_text"]) -> None:
        super().__init__()
        self.clip, self.function = clip, function

    def forward(self, x: Tensor) -> Tensor:
        return self.clip.embed_image(x) if self.function == "embed_image" else self.clip.embed_text(x)
