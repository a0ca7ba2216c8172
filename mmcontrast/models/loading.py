"""Loads a model by its name. Nothing is unpickled, and only classes of mmcontrast and of trusted packages are built."""

from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from mmcontrast.encoders.base import Encoder
from mmcontrast.errors import InputError
from mmcontrast.methods.base import Method
from mmcontrast.models.bundle import BUNDLED, bundled
from mmcontrast.models.directory import from_directory
from mmcontrast.models.registry import check_arguments, construct

_SCHEMES = ("open_clip", "hf", "hf-hub", "timm", "lightness", "color", "random", "pixels", "lab")


def load(name: str | Path, *, trust: Iterable[str] = (), **overrides: Any) -> Method | Encoder:
    """Loads a trained model in float32, on the CPU and in evaluation mode.

    Args:
        name: One of these:

            - a bundled model, see ``bundled()``: "clip-lite"
            - a run directory (config.yaml, last.ckpt) or an exported one (config.yaml, model.safetensors)
            - "hf-hub:USER/REPO": an exported directory on the Hugging Face hub
            - "open_clip:ARCH/TAG" or "open_clip:ARCH/FILE"; "open_clip:FOLDER" with open_clip_config.json, or
              "open_clip:hf-hub:USER/REPO" with the same
            - "hf:FOLDER" or "hf:USER/REPO": a checkpoint of transformers, of image and text or of images alone
            - "timm:NAME" with the weights of timm, or "timm:NAME@FILE" with a checkpoint file of yours
            - "lightness:NAME" or "color:NAME": a split-brain model of which one half is the encoder
            - a baseline: "random:NAME", the encoder of NAME with random weights, the same on every call; "pixels", the
              images themselves; "lab", their patches of 8 x 8 pixels in Lab, or "lab:4" of 4 x 4
        trust: Names of installed packages whose methods and encoders, registered as entry points of
            ``mmcontrast.methods`` and ``mmcontrast.encoders``, the config may name; their code is run.
        **overrides: Arguments of the method's constructor (of the encoder's, if there is no method) to change.

    Returns:
        A method. For names that begin with timm, random, pixels or lab, and for image-only checkpoints of transformers,
        an encoder.

    Raises:
        InputError: There is no such model, or its weights do not fit.

    >>> load("pixels").dim
    3072
    """
    if isinstance(trust, str):
        raise InputError(f"trust is {trust!r}; give a list of package names, such as trust=[{trust!r}].")
    if not isinstance(name, str | Path) or not str(name):
        raise InputError(f"The model is {name!r}; give the name of a model or a directory.")
    scheme, _, rest = str(name).partition(":")
    if scheme in _SCHEMES:
        model = _by_scheme(scheme, rest, overrides, trust)
    elif Path(name).expanduser().is_dir():
        model = from_directory(Path(name).expanduser(), overrides, trust)
    elif str(name) in bundled():
        model = from_directory(BUNDLED / str(name), overrides)
    else:
        raise InputError(_unknown(str(name)))
    return model.eval()


def load_encoder(name: str | Path, *, trust: Iterable[str] = ()) -> Encoder:
    """Loads the image encoder of a model.

    Args:
        name: Any name that ``load`` takes.
        trust: Packages whose registered classes may be built, as for ``load``.

    Returns:
        The encoder in evaluation mode.
    """
    model = load(name, trust=trust)
    return model.encoder if isinstance(model, Method) else model


def _by_scheme(scheme: str, rest: str, overrides: dict[str, Any], trust: Iterable[str]) -> Method | Encoder:
    """Loads what follows a scheme; each library is imported only if its scheme is used."""
    match scheme:
        case "open_clip":
            return _open_clip(rest, overrides)
        case "hf":
            return _transformers(rest, overrides)
        case "hf-hub":
            from mmcontrast.models.hub import download

            return from_directory(download(rest), overrides, trust)
        case "timm":
            return _timm(rest, overrides)
        case "lightness" | "color":
            return load(rest, trust=trust, **{"features": scheme, **overrides})
        case "random":
            from mmcontrast.models.baselines import random_encoder

            return random_encoder(rest)
        case _:
            from mmcontrast.models.baselines import pixel_encoder

            return pixel_encoder(scheme, rest, overrides)


def _timm(rest: str, overrides: dict[str, Any]) -> Encoder:
    from mmcontrast.encoders.timm import TimmEncoder

    arch, _, weights = rest.partition("@")
    arguments = {"pretrained": True, **overrides}
    if weights:
        settings = TimmEncoder.settings_for(arch, weights)
        arguments = {"weights": weights, **settings, **overrides}
    encoder = construct(TimmEncoder, {"name": arch, **arguments})
    assert isinstance(encoder, Encoder)
    return encoder


def _transformers(rest: str, overrides: dict[str, Any]) -> Method | Encoder:
    from mmcontrast.encoders.hf_files import has_text_tower
    from mmcontrast.encoders.hf_image import HFImage
    from mmcontrast.methods.clip import CLIP
    from mmcontrast.models.from_transformers import from_transformers

    if has_text_tower(rest):
        check_arguments(CLIP, overrides, positional=2)
        return from_transformers(rest, **overrides)
    check_arguments(HFImage, overrides, positional=1)
    return HFImage(rest, **overrides)


def _open_clip(rest: str, overrides: dict[str, Any]) -> Method:
    from mmcontrast.methods.clip import CLIP
    from mmcontrast.models.from_open_clip import from_open_clip

    check_arguments(CLIP, overrides, positional=2)
    if Path(rest).is_dir() or rest.startswith("hf-hub:"):
        return from_open_clip(rest, "", **overrides)
    arch, _, pretrained = rest.partition("/")
    if not pretrained:
        raise InputError(f"open_clip:{rest} names no weights; wanted open_clip:ARCH/TAG or open_clip:ARCH/FILE.")
    return from_open_clip(arch, pretrained, **overrides)


def _unknown(name: str) -> str:
    """Returns a sentence that says why there is no such model and what to give."""
    path = Path(name).expanduser()
    if path.is_file():
        if (path.parent / "config.yaml").is_file():
            return f"{name} is a file; give its directory, {path.parent}."
        return f"{name} is a file; give a directory, or timm:NAME@{name} for weights of the timm network NAME."
    scheme, colon, _ = name.partition(":")
    if colon and "/" not in scheme:
        return f"No model {name!r}: there are no names that begin with {scheme}:, but with {': '.join(_SCHEMES)}:."
    close = get_close_matches(name, bundled(), 1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    return (
        f"No model {name!r}: it is neither a directory nor bundled ({', '.join(bundled()) or 'none is'}).{hint} "
        "Other names begin with open_clip:, hf:, hf-hub: or timm:"
    )
