"""Where training starts from: the weights of another model."""

import sys
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from mmcontrast.errors import InputError
from mmcontrast.loading import load
from mmcontrast.methods.base import Method


def start_from(method: Method, name: str | Path) -> None:
    """Copies the weights that ``method`` shares with another model, by name and shape; says so on stderr.

    Args:
        method: changed in place.
        name: a model for ``mmcontrast.load`` (a bundled name, a run or exported directory, ...) or a .safetensors file,
            which may hold a part of the weights only.
    Raises:
        InputError: no such model, or it has nothing in common with ``method``.
    """
    given, own = _state(name), method.state_dict()
    shared = {key: value for key, value in given.items() if key in own and own[key].shape == value.shape}
    if not shared:
        raise InputError(
            f"{name} has no weights in common with this {type(method).__name__}; it has "
            f"{', '.join(list(given)[:3])}, ... and the method {', '.join(list(own)[:3])}, ..."
        )
    method.load_state_dict(shared, strict=False)
    print(f"starting from {name}: {len(shared)} of {len(own)} tensors", file=sys.stderr)


def _state(name: str | Path) -> dict[str, Tensor]:
    if not str(name).endswith(".safetensors"):
        return load(name).state_dict()
    if not Path(name).is_file():
        raise InputError(f"{name}: no such file of weights to start from")
    try:
        return load_file(name)
    except SafetensorError as error:
        raise InputError(f"{name} is no .safetensors file: {error}") from error
