"""Choice of the device and precision in which models run."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from mmcontrast.errors import InputError

DTYPES = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}


def choose_device(device: str | torch.device | None) -> torch.device:
    """Returns the device to run on.

    Args:
        device: A device or its name: "cpu", "cuda", "cuda:1", "mps". None stands for CUDA if there is one, else for
            MPS (Apple's GPUs) if there is one, else for the CPU.

    Raises:
        InputError: torch does not know the name, or this machine has no such device.
    """
    if device is None:
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
        return torch.device(name)
    try:
        chosen = torch.device(device)
    except (RuntimeError, TypeError) as error:
        raise InputError(f"device {device!r}: there is no such kind of device; use cpu, cuda, cuda:N or mps") from error
    if chosen.type == "cuda" and (chosen.index or 0) >= torch.cuda.device_count():
        raise InputError(f"device {str(device)!r}: this machine has {torch.cuda.device_count()} CUDA devices; use cpu")
    if chosen.type == "mps" and not torch.backends.mps.is_available():
        raise InputError(f"device {str(device)!r}: this machine has no MPS device; use cpu")
    return chosen


def choose_dtype(dtype: str | torch.dtype | None) -> torch.dtype:
    """Returns the precision to compute in.

    Args:
        dtype: "float32", "bfloat16", "float16", or the torch dtype of that name. None stands for float32.

    Raises:
        InputError: The dtype is another one.
    """
    if dtype is None:
        return torch.float32
    chosen = DTYPES.get(dtype) if isinstance(dtype, str) else dtype
    if chosen is None or chosen not in DTYPES.values():
        raise InputError(f"dtype {dtype!r}: give one of {', '.join(DTYPES)}")
    return chosen


@contextmanager
def inference_in(device: torch.device, dtype: torch.dtype) -> Iterator[None]:
    """Computes without gradients, and in ``dtype`` wherever autocast allows it."""
    with torch.inference_mode(), torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
        yield
