"""Where predictors run."""

import torch

from mmcontrast.errors import InputError


def choose_device(device: str | torch.device | None) -> torch.device:
    """The device meant; None is CUDA where there is one, else the CPU.

    Raises:
        InputError: for a name torch does not know, or a GPU that is not there.
    """
    if device is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(device)
    except RuntimeError as error:
        raise InputError(f"device {device!r}: no such kind of device; use cpu, cuda or cuda:N") from error
    if chosen.type == "cuda" and (chosen.index or 0) >= torch.cuda.device_count():
        raise InputError(f"device {str(device)!r}: this machine has {torch.cuda.device_count()} CUDA devices; use cpu")
    return chosen
