"""Where training starts from: the weights of another model."""

import sys
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from mmcontrast.encoders.base import Encoder
from mmcontrast.errors import InputError
from mmcontrast.methods.base import Method
from mmcontrast.models.loading import load


def init_from(method: Method, name: str | Path) -> None:
    """Copies the weights that ``method`` shares with another model, by name and shape; says so on stderr.

    The other's encoder goes into each encoder of this one that shares no name with it, for instance SimCLR's into
    DINO's student and teacher.

    Args:
        method: changed in place.
        name: a model for ``mmcontrast.load`` (a bundled name, a run or exported directory, ...) or a .safetensors file,
            which may hold a part of the weights only.
    Raises:
        InputError: no such model, or it has nothing in common with ``method``.
    """
    given, own = _state(name), method.state_dict()
    both = lambda weights: {key: x for key, x in weights.items() if key in own and own[key].shape == x.shape}
    encoder = {key.removeprefix("encoder."): x for key, x in given.items() if key.startswith("encoder.")}
    shared = both({f"{place}.{key}": x for place in _encoders(method) for key, x in encoder.items()}) | both(given)
    if not shared:
        raise InputError(
            f"{name} has no weights in common with this {type(method).__name__}; it has "
            f"{', '.join(list(given)[:3])}, ... and the method {', '.join(list(own)[:3])}, ..."
        )
    method.load_state_dict(shared, strict=False)
    print(f"starting from {name}: {len(shared)} of {len(own)} tensors", file=sys.stderr)


def _encoders(method: Method) -> list[str]:
    """Where the method's encoders are, teachers among them, without their own parts."""
    places: list[str] = []
    for place, module in method.named_modules():
        if isinstance(module, Encoder) and not any(place.startswith(f"{outer}.") for outer in places):
            places.append(place)
    return places


def _state(name: str | Path) -> dict[str, Tensor]:
    if not str(name).endswith(".safetensors"):
        return load(name).state_dict()
    if not Path(name).is_file():
        raise InputError(f"{name}: no such file of weights to start from")
    try:
        return load_file(name)
    except SafetensorError as error:
        raise InputError(f"{name} is no .safetensors file: {error}") from error
