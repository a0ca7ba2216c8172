"""Writes a method to a directory that others can load."""

import shutil
import uuid
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
    """Writes config.yaml, model.safetensors, README.md and the tokenizers of a method to a directory.

    The directory appears at once: an export that is interrupted leaves ``out`` as it was.

    Args:
        model: A method, or a name for ``load``.
        out: A new or empty directory, or an earlier export, which is replaced; other files in it remain.
        dtype: Type of the stored weights; values that float16 cannot hold are stored as float32. ``load`` returns
            float32 in any case.
        card: Text of the README.md; None writes a short one.

    Returns:
        The directory.

    Raises:
        InputError: ``out`` cannot be written to, or ``model`` is unknown or an encoder alone.
    """
    folder = Path(out).resolve()
    _check_target(folder)
    method = as_method(model)
    folder.parent.mkdir(parents=True, exist_ok=True)
    scratch = folder.with_name(f".{folder.name}.{uuid.uuid4().hex[:8]}.part")
    scratch.mkdir()
    try:
        _write(method, scratch, dtype, card, folder.name)
        _replace(folder, scratch)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return Path(out)


def as_method(model: Method | str | Path) -> Method:
    """Returns a method itself, or loads it by its name.

    Raises:
        InputError: There is no such model, or it is an encoder alone.
    """
    method = model if isinstance(model, Method) else load(model)
    if not isinstance(method, Method):
        raise InputError(f"{model} is an encoder alone; wanted a method.")
    return method


def _check_target(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is a file; wanted a directory to export to.")
    if (folder / "last.ckpt").exists():
        raise InputError(f"{folder} is a run directory; give another directory to export to.")
    if folder.is_dir() and any(folder.iterdir()) and not (folder / "model.safetensors").is_file():
        raise InputError(f"{folder} holds other files; give a new or an empty directory to export to.")


def _write(method: Method, folder: Path, dtype: str, card: str | None, title: str) -> None:
    config = {"model": {"method": _portable(method, folder)}}
    (folder / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    state = {name: _stored(value, dtype) for name, value in method.state_dict().items()}
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    shutil.copymode(folder / "config.yaml", folder / "model.safetensors")  # safetensors allows only the owner to read
    count = sum(p.numel() for p in method.parameters()) / 1e6
    text = card or _CARD.format(title=title, method=type(method).__name__, parameters=count, dtype=dtype)
    (folder / "README.md").write_text(text)


def _replace(folder: Path, new: Path) -> None:
    """Puts a finished directory in place of an earlier one, whose other files it takes over."""
    if not folder.is_dir():
        new.rename(folder)
        return
    old = new.with_name(f"{new.name}.old")
    folder.rename(old)
    new.rename(folder)
    for path in old.iterdir():
        if not (folder / path.name).exists():
            path.rename(folder / path.name)
    shutil.rmtree(old)


def _portable(part: Configurable, folder: Path) -> dict[str, Any]:
    """Returns the config of a method or tower that points to files below ``folder`` and to no initial weights."""
    node: dict[str, Any] = config_of(part)
    arguments = node["init_args"]
    for name, value in part.init_args.items():
        if isinstance(value, Configurable):
            arguments[name] = _portable(value, folder)
    if isinstance(part, Tower):
        arguments |= part.save_files(folder)
    node["init_args"] = {name: value for name, value in arguments.items() if name not in ("pretrained", "weights")}
    return node


def _stored(value: Tensor, dtype: str) -> Tensor:
    value = value.detach().cpu().clone().contiguous()  # safetensors stores tied weights twice, as separate tensors
    if not value.is_floating_point():
        return value
    small = value.to(getattr(torch, dtype))
    return small if small.isfinite().all() else value.float()
