"""Turn a method into files that others can load: a directory, a repository on the hub, ONNX graphs."""

import shutil
import tempfile
from pathlib import Path
from typing import Any, Literal

import torch
import yaml
from safetensors.torch import save_file
from torch import Tensor

from mmcontrast.configurable import Configurable, config_of
from mmcontrast.encoders.base import Tower
from mmcontrast.errors import InputError
from mmcontrast.methods.base import Method
from mmcontrast.methods.clip import CLIP
from mmcontrast.models.loading import load

_CARD = """\
---
library_name: mmcontrast
---
# {title}

A `{method}` of {parameters:.1f} million parameters, stored as {dtype}.

    import mmcontrast
    model = mmcontrast.load("PATH/TO/THIS/DIRECTORY")

How it was trained, on what, what it can and cannot do: not yet written.
"""


def export(
    model: Method | str | Path,
    out: str | Path,
    dtype: Literal["float16", "float32"] = "float16",
    card: str | None = None,
) -> Path:
    """Write config.yaml, model.safetensors, README.md and what the towers read (tokenizers) to a directory.

    Args:
        model: a method, or a name for ``load``.
        out: the directory; files of an earlier export in it are replaced.
        dtype: of the stored weights; loading gives float32.  Values that float16 cannot hold stay float32.
        card: text of the README.md; None: a short one to go on from.
    Returns:
        The directory.
    Raises:
        InputError: ``out`` is a file, or ``model`` names none.
    """
    method, folder = _method(model), Path(out)
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is a file; wanted a directory to export to")
    folder.mkdir(parents=True, exist_ok=True)
    config = {"model": {"method": _portable(method, folder)}}
    (folder / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    state = {name: _stored(value, dtype) for name, value in method.state_dict().items()}
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    shutil.copymode(folder / "config.yaml", folder / "model.safetensors")  # safetensors makes it the owner's alone
    count = sum(p.numel() for p in method.parameters()) / 1e6
    title = folder.resolve().name
    text = card or _CARD.format(title=title, method=type(method).__name__, parameters=count, dtype=dtype)
    (folder / "README.md").write_text(text)
    return folder


def push_to_hub(
    model: Method | str | Path,
    repository: str,
    private: bool = False,
    dtype: Literal["float16", "float32"] = "float16",
    card: str | None = None,
) -> str:
    """Export to a repository "USER/NAME" on the Hugging Face hub, for ``load("hf-hub:USER/NAME")``.

    The hub's own login (``hf auth login``) is used.

    Returns:
        The address of the commit.
    """
    from huggingface_hub import HfApi

    api = HfApi()
    api.create_repo(repository, private=private, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        folder = export(model, Path(scratch) / repository.rpartition("/")[2], dtype, card)
        return str(api.upload_folder(repo_id=repository, folder_path=folder, commit_message="Export of mmcontrast"))


def export_onnx(model: CLIP | str | Path, out: str | Path) -> list[Path]:
    """Write image.onnx and text.onnx, which make a unit ``vector`` (B, dim) of each image and text, for any B.

    The inputs are ``image`` (B, 3, S, S) float32 in [0, 1], S the image size, and ``tokens`` (B, L) int64 from
    the tokenizer, which is exported with the directory of `export`.

    Returns:
        The two files.
    Raises:
        InputError: the extra ``export`` is not installed, or the model is no image-text model.
    """
    try:
        import onnx  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise InputError(f"ONNX export needs the package {error.name}: pip install 'mmcontrast[export]'") from error
    clip, folder = _method(model), Path(out)
    if not isinstance(clip, CLIP):
        raise InputError(f"ONNX export is for image-text models; {type(clip).__name__} is none")
    folder.mkdir(parents=True, exist_ok=True)
    size = clip.image_encoder.image_size
    assert clip.tokenizer is not None
    bytes_of_weights = sum(p.numel() * p.element_size() for p in clip.parameters())
    graphs = {
        "image": (_Embedder(clip, "embed_image"), torch.rand(2, 3, size, size), {0: "batch"}),
        "tokens": (
            _Embedder(clip, "embed_text"),
            clip.tokenizer(["a photo of a cat", "two dogs"]),
            {0: "batch", 1: "length"},
        ),
    }
    paths = []
    for name, (embedder, example, free) in graphs.items():
        path = folder / ("image.onnx" if name == "image" else "text.onnx")
        shapes = ({axis: torch.export.Dim(label, min=1) for axis, label in free.items()},)
        torch.onnx.export(
            embedder.eval(),
            (example,),
            path,
            input_names=[name],
            output_names=["vector"],
            dynamic_shapes=shapes,
            external_data=bytes_of_weights > 2**30,  # beside the graph, as its format ends at 2 GB
            verbose=False,
            dynamo=True,
        )
        paths.append(path)
    return paths


class _Embedder(torch.nn.Module):
    def __init__(self, clip: CLIP, face: Literal["embed_image", "embed_text"]) -> None:
        super().__init__()
        self.clip, self.face = clip, face

    def forward(self, x: Tensor) -> Tensor:
        return getattr(self.clip, self.face)(x)


def _method(model: Method | str | Path) -> Method:
    method = model if isinstance(model, Method) else load(model)
    if not isinstance(method, Method):
        raise InputError(f"{model} is an encoder alone; wanted a method")
    return method


def _portable(part: Configurable, folder: Path) -> dict[str, Any]:
    """The config of a method or tower, pointing to files below ``folder`` and to no pretrained weights."""
    node = config_of(part)
    arguments = node["init_args"]
    for name, value in part.init_args.items():
        if isinstance(value, Configurable):
            arguments[name] = _portable(value, folder)
    if isinstance(part, Tower):
        arguments |= part.save_files(folder)
    node["init_args"] = {name: value for name, value in arguments.items() if name not in ("pretrained", "weights")}
    return node


def _stored(value: Tensor, dtype: str) -> Tensor:
    value = value.detach().cpu().clone().contiguous()  # clone: tied weights are stored twice, as safetensors wants
    if not value.is_floating_point():
        return value
    small = value.to(getattr(torch, dtype))
    return small if small.isfinite().all() else value.float()
