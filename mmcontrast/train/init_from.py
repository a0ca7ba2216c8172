"""The weights that training begins with, copied from another model."""

import sys
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from mmcontrast.encoders.base import Encoder
from mmcontrast.errors import InputError
from mmcontrast.methods.base import Method
from mmcontrast.models.loading import load


def copy_shared_weights(method: Method, name: str | Path) -> None:
    """Copies the weights that a method shares with another model, by name and shape; says so on stderr.

    The encoder of the other model goes into each encoder of this one that shares no name with it, for instance
    SimCLR's into the student and the teacher of DINO.

    Args:
        method: Changed in place.
        name: A model for ``mmcontrast.load`` (a bundled name, a run or exported directory), or a .safetensors file,
            which may hold a part of the weights.

    Raises:
        InputError: There is no such model, or it has nothing in common with ``method``.
    """
    source, own = _read_weights(name), method.state_dict()
    encoder = {key.removeprefix("encoder."): x for key, x in source.items() if key.startswith("encoder.")}
    candidates = {f"{prefix}.{key}": x for prefix in _encoder_names(method) for key, x in encoder.items()} | source
    shared = {key: x for key, x in candidates.items() if key in own and own[key].shape == x.shape}
    if not shared:
        raise InputError(
            f"{name} has no weights in common with this {type(method).__name__}; it has "
            f"{', '.join(list(source)[:3])}, ... and the method {', '.join(list(own)[:3])}, ..."
        )
    method.load_state_dict(shared, strict=False)
    print(f"starting from {name}: {len(shared)} of {len(own)} tensors", file=sys.stderr)


def _encoder_names(method: Method) -> list[str]:
    """Returns the names of the method's encoders, teachers among them, without encoders inside others."""
    names: list[str] = []
    for name, module in method.named_modules():
        if isinstance(module, Encoder) and not any(name.startswith(f"{outer}.") for outer in names):
            names.append(name)
    return names


def _read_weights(name: str | Path) -> dict[str, Tensor]:
    """Returns the state of a model, or of an encoder under the prefix of a method's encoder."""
    if not str(name).endswith(".safetensors"):
        model = load(name)
        prefix = "encoder." if isinstance(model, Encoder) else ""
        return {f"{prefix}{key}": value for key, value in model.state_dict().items()}
    if not Path(name).is_file():
        raise InputError(f"{name}: no such file of weights to start from")
    try:
        return load_file(name)
    except SafetensorError as error:
        raise InputError(f"{name} is no .safetensors file: {error}") from error
