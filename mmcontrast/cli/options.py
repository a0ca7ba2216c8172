"""Options that several commands share: one name, one meaning and one sentence of help each.

Lists of numbers and names are separated by commas; options that take paths or points are repeated.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from typer import Argument, Option

from mmcontrast.errors import InputError

T = TypeVar("T")


def _models() -> list[str]:
    """Returns the names of the bundled models, for the shell's completion."""
    weights = Path(__file__).parents[1] / "models" / "weights"
    return sorted(path.parent.name for path in weights.glob("*/config.yaml"))


Model = Annotated[
    str,
    Option(
        metavar="MODEL",
        help="Name of a bundled model, folder of a run or an export, or any other name that mmcontrast.load takes.",
        autocompletion=_models,
    ),
]
Data = Annotated[str, Option(metavar="PATH", help="Data set to use: a folder, or shards.")]
TrainData = Annotated[str, Option(metavar="PATH", help="Data set to learn from: a folder, or shards.")]
TestData = Annotated[str, Option(metavar="PATH", help="Data set to measure on: a folder, or shards.")]
Paths = Annotated[list[str], Argument(metavar="PATH", help="Images, and folders that are searched at any depth.")]
Video = Annotated[str, Option(metavar="FILE", help="Video file, or folder of frames.")]

_OUT = Option(metavar="DIR", help="Folder to write the results to.")
Out = Annotated[Path | None, _OUT]
RequiredOut = Annotated[Path, _OUT]
Overwrite = Annotated[bool, Option("--overwrite", help="Replace the results of an earlier run in --out.")]

Device = Annotated[
    str | None,
    Option(metavar="DEVICE", help="Device to compute on: cpu, cuda, cuda:1 or mps. Without it, a GPU if there is one."),
]
BatchSize = Annotated[int, Option(metavar="N", min=1, help="Number of samples in a batch.")]
Resolution = Annotated[
    int | None, Option(metavar="PIXELS", min=1, help="Short side at which the model sees images, in pixels.")
]
Limit = Annotated[int | None, Option(metavar="N", min=1, help="Number of samples to use, drawn at random once.")]
Seed = Annotated[int, Option(metavar="N", min=0, help="Seed of all random choices.")]
Dtype = Annotated[
    Literal["float32", "bfloat16", "float16"],
    Option(metavar="TYPE", help="Number format in which the model computes: float32, bfloat16 or float16."),
]
Temperature = Annotated[float, Option(metavar="T", help="Temperature of the softmax.")]
NoCache = Annotated[bool, Option("--no-cache", help="Do not store features on disk for later runs.")]
Points = Annotated[
    list[str] | None, Option(metavar="X,Y", help="Point in pixels of the image; repeat the option for more points.")
]
Templates = Annotated[
    str,
    Option(metavar="NAME", help="Sentences around a label: simple, openai80, or a file with {} for the label."),
]
SafeCSV = Annotated[
    bool,
    Option(
        "--safe-csv",
        help="Put an apostrophe before texts in CSV files that a spreadsheet would run as a formula.",
    ),
]


def split(text: str) -> list[str]:
    """Returns the parts of a text with commas between.

    >>> split("cat, house cat,dog")
    ['cat', 'house cat', 'dog']
    """
    return [part.strip() for part in text.split(",")]


def numbers(text: str, kind: Callable[[str], T], option: str) -> list[T]:
    """Returns the numbers of a text with commas between.

    Args:
        text: What the user wrote, such as "10,20".
        kind: ``int`` or ``float``.
        option: Name of the option, for the error.

    Raises:
        InputError: A part is no number.
    """
    try:
        return [kind(part) for part in text.split(",")]
    except ValueError:
        raise InputError(f"{option} {text}: wanted numbers with commas between, such as 1,2") from None


def points_of(values: list[str], option: str = "--points") -> list[tuple[float, float]]:
    """Returns the points (x, y) of a repeated option.

    Raises:
        InputError: A value is no pair of numbers.
    """
    from mmcontrast.inference.points import parse_points

    return parse_points(";".join(values), option)
