"""Optional dependencies: which extra of this package installs which library."""

from importlib.util import find_spec

from mmcontrast.errors import InputError

EXTRAS = {
    "lightning": "train",
    "jsonargparse": "train",
    "gradio": "app",
    "tensorboard": "log",
    "wandb": "log",
    "onnx": "export",
    "onnxscript": "export",
    "onnxruntime": "export",
    "pybullet": "render",
    "trimesh": "render",
    "pillow_heif": "heic",
}


def pip_line(library: str) -> str | None:
    """Returns the command that installs an optional library, or None for a library that no extra holds.

    >>> pip_line("lightning")
    "pip install 'mmcontrast[train]'"
    """
    extra = EXTRAS.get(library.partition(".")[0])
    return extra and f"pip install 'mmcontrast[{extra}]'"


def require(*libraries: str) -> None:
    """Checks that optional libraries are installed, without importing them.

    Raises:
        InputError: a library is missing; the message holds the command that installs it.
    """
    for library in libraries:
        if find_spec(library) is None:
            raise InputError(f"This needs the package {library}, which is not installed. Run: {pip_line(library)}")
