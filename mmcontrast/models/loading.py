"""Get a model by name.  Nothing is ever unpickled, and no class outside this package is built."""

import importlib
import inspect
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
import yaml
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from mmcontrast.configurable import Configurable
from mmcontrast.encoders.base import Encoder
from mmcontrast.errors import InputError
from mmcontrast.methods.base import Method

BUNDLED = Path(__file__).parent / "weights"
_HUB_FILES = ["config.yaml", "model.safetensors", "*.json", "*.txt", "*.model", "README.md"]


def load(name: str | Path, **overrides: Any) -> Method | Encoder:
    """A trained model, in float32 on the CPU and in evaluation mode.

    Args:
        name: one of

            - a bundled model (``bundled()`` lists them): "clip-lite"
            - a run directory (config.yaml, last.ckpt) or an exported one (config.yaml, model.safetensors)
            - "hf-hub:USER/REPO": an exported directory on the Hugging Face hub
            - "open_clip:ARCH/TAG", or a checkpoint file in place of TAG; "open_clip:FOLDER" with open_clip_config.json,
              or "open_clip:hf-hub:USER/REPO" with the same
            - "hf:FOLDER" or "hf:USER/REPO": a CLIP or SigLIP checkpoint of transformers
            - "timm:NAME" with timm's weights, or "timm:NAME@FILE" with your own
            - "lightness:NAME" or "color:NAME": a split-brain model whose encoder is that half only
            - what a model has to beat: "random:NAME", the encoder of NAME with random weights, always the same ones;
              "pixels", the images themselves; "lab", their 8 x 8 patches in Lab, "lab:4" 4 x 4 patches
        **overrides: constructor arguments of the method (of the encoder, where there is no method) to set differently.
    Returns:
        A method; for timm and what follows it an encoder.
    Raises:
        InputError: no such model, or its weights do not fit.
    """
    model: Method | Encoder
    scheme, _, rest = str(name).partition(":")
    if scheme == "open_clip":
        model = _open_clip(rest, overrides)
    elif scheme == "hf":
        from mmcontrast.models.from_transformers import from_transformers

        model = from_transformers(rest, **overrides)
    elif scheme == "hf-hub":
        model = _from_folder(_download(rest), overrides)
    elif scheme == "timm":
        from mmcontrast.encoders.timm import TimmEncoder

        arch, _, weights = rest.partition("@")
        model = TimmEncoder(arch, **{"pretrained": not weights, "weights": weights or None, **overrides})
    elif scheme in ("lightness", "color"):
        model = load(rest, **{"features": scheme, **overrides})
    elif scheme == "random":
        model = _untrained(rest)
    elif scheme in ("pixels", "lab"):
        model = _unlearned(str(name), overrides)
    elif Path(name).is_dir():
        model = _from_folder(Path(name), overrides)
    elif str(name) in bundled():
        model = _from_folder(BUNDLED / str(name), overrides)
    else:
        raise InputError(
            f"No model {str(name)!r}: it is neither a directory nor bundled ({', '.join(bundled()) or 'none is'}). "
            "Other names begin with open_clip:, hf:, hf-hub: or timm:"
        )
    return model.eval()


def load_encoder(name: str | Path) -> Encoder:
    """The image encoder of a model; see ``load`` for names."""
    model = load(name)
    return model.encoder if isinstance(model, Method) else model


def bundled() -> list[str]:
    """Names of the models that come with this package."""
    return sorted(path.parent.name for path in BUNDLED.glob("*/config.yaml"))


def build(node: dict[str, Any]) -> Configurable:
    """``{"class_path": ..., "init_args": {...}}`` -> the object, its arguments built first.

    Raises:
        InputError: a class outside this package, or arguments that it does not take.
    """
    made = _class(node["class_path"])
    arguments = {name: build(value) if _is_node(value) else value for name, value in node.get("init_args", {}).items()}
    try:
        inspect.signature(made.__init__).bind(None, **arguments)
    except TypeError as error:
        raise InputError(f"{made.__name__}: {error}") from error
    return made(**arguments)


def _untrained(name: str) -> Encoder:
    """The image encoder of a model, its weights drawn anew from one seed."""
    scheme, _, rest = name.partition(":")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        if scheme == "timm":
            from mmcontrast.encoders.timm import TimmEncoder

            return TimmEncoder(rest.partition("@")[0]).eval()
        if scheme == "open_clip":
            from mmcontrast.encoders.openclip import OpenClipImage

            return OpenClipImage(rest.partition("/")[0]).eval()
        folder = BUNDLED / name if name in bundled() else Path(name)
        if not folder.is_dir():
            raise InputError(f"random:{name}: wanted a directory, a bundled model, timm:ARCH or open_clip:ARCH")
        return _built(folder, {}).encoder.eval()


def _unlearned(name: str, overrides: dict[str, Any]) -> Encoder:
    from mmcontrast.encoders.pixels import LabPatches, RawPixels

    scheme, _, stride = name.partition(":")
    if stride and not (stride.isdecimal() and int(stride)):
        raise InputError(f"{name}: wanted {scheme}, or {scheme}: and the side of a patch in pixels, such as {scheme}:4")
    sized = {"stride": int(stride)} if stride else {}
    return (LabPatches if scheme == "lab" else RawPixels)(**{**sized, **overrides})


def _from_folder(folder: Path, overrides: dict[str, Any]) -> Method:
    method = _built(folder, overrides)
    _fill(method, _weights(folder), folder)
    return method


def _built(folder: Path, overrides: dict[str, Any]) -> Method:
    """The method that a directory's config describes, without its weights."""
    config = folder / "config.yaml"
    if not config.is_file():
        raise InputError(f"{folder} has no config.yaml; wanted a directory written by `mmcontrast fit` or `export`")
    try:
        node = yaml.safe_load(config.read_text())["model"]["method"]
        node["init_args"] = {**(node.get("init_args") or {}), **overrides}
    except (yaml.YAMLError, KeyError, TypeError) as error:
        raise InputError(f"{config} has no model.method with a class_path and init_args: {error}") from error
    exported = (folder / "model.safetensors").is_file()
    method = build(_without_weights(node, folder if exported else None))
    if not isinstance(method, Method):
        raise InputError(f"{config} describes a {type(method).__name__}; wanted a method")
    return method


def _weights(folder: Path) -> dict[str, Tensor]:
    """The method's state from an exported or a run directory."""
    exported, checkpoint = folder / "model.safetensors", folder / "last.ckpt"
    if not (exported.is_file() or checkpoint.is_file()):
        raise InputError(f"{folder} has neither model.safetensors nor last.ckpt")
    try:
        if exported.is_file():
            return load_file(exported)
        state = torch.load(checkpoint, map_location="cpu", weights_only=True)["state_dict"]
    except (SafetensorError, UnpicklingError, RuntimeError, KeyError, EOFError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"The weights in {folder} are damaged, or hold more than tensors: {reason}") from error
    return {key.removeprefix("method."): value for key, value in state.items() if key.startswith("method.")}


def _fill(method: Method, state: dict[str, Tensor], source: Path) -> None:
    own = method.state_dict()
    problems = {
        "lacking": sorted(own.keys() - state.keys()),
        "too many": sorted(state.keys() - own.keys()),
        "of another shape": sorted(k for k in own.keys() & state.keys() if own[k].shape != state[k].shape),
    }
    if found := [f"{what}: {', '.join(keys[:3])} ({len(keys)} in all)" for what, keys in problems.items() if keys]:
        raise InputError(f"The weights in {source} do not fit its config.yaml. {'; '.join(found)}")
    method.load_state_dict(state)


def _without_weights(node: dict[str, Any], folder: Path | None) -> dict[str, Any]:
    """The same node, fetching no weights since its own follow, and with "./" paths made those of ``folder``."""

    def ready(value: Any) -> Any:
        if _is_node(value):
            return _without_weights(value, folder)
        local = folder is not None and isinstance(value, str) and value.startswith("./")
        return str(folder / value) if local else value

    known = inspect.signature(_class(node["class_path"]).__init__).parameters
    off = {name: value for name, value in {"pretrained": False, "weights": None}.items() if name in known}
    arguments = {name: ready(value) for name, value in (node.get("init_args") or {}).items()}
    return {"class_path": node["class_path"], "init_args": arguments | off}


def _is_node(value: Any) -> bool:
    return isinstance(value, dict) and "class_path" in value


def _class(path: str) -> type[Configurable]:
    """A class by its short name or by its path below ``mmcontrast``."""
    module, _, name = path.rpartition(".")
    if not module:
        homes = [importlib.import_module(f"mmcontrast.{package}") for package in ("methods", "encoders")]
        found = next((getattr(home, name) for home in homes if name in home.__all__), None)
    elif module.split(".")[0] == "mmcontrast":
        try:
            found = getattr(importlib.import_module(module), name, None)
        except ImportError as error:
            raise InputError(f"Cannot import {path}: {error}") from error
    else:
        raise InputError(f"The config names the class {path}; only classes of mmcontrast are built when loading")
    if not (isinstance(found, type) and issubclass(found, Configurable)):
        raise InputError(f"The config names {path}, which is no method or encoder of mmcontrast")
    return found


def _open_clip(rest: str, overrides: dict[str, Any]) -> Method:
    from mmcontrast.models.from_open_clip import from_open_clip

    if Path(rest).is_dir() or rest.startswith("hf-hub:"):
        return from_open_clip(rest, "", **overrides)
    arch, _, pretrained = rest.partition("/")
    if not pretrained:
        raise InputError(f"open_clip:{rest} names no weights; wanted open_clip:ARCH/TAG or open_clip:ARCH/FILE")
    return from_open_clip(arch, pretrained, **overrides)


def _download(repository: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(repository, allow_patterns=_HUB_FILES))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        raise InputError(f"Cannot fetch {repository!r} from the Hugging Face hub: {error}") from error
