"""``mmcontrast export``: a model as files that load anywhere."""

from typing import Annotated, Literal

from typer import Argument, Option

from mmcontrast.cli.options import Out
from mmcontrast.errors import InputError


def export(
    model: Annotated[
        str,
        Argument(metavar="MODEL", help="Run directory, bundled name, or any other name that mmcontrast.load takes."),
    ],
    out: Out = None,
    hub: Annotated[
        str | None,
        Option(metavar="USER/NAME", help="Repository of the Hugging Face hub to upload to, instead of --out."),
    ] = None,
    onnx: Annotated[bool, Option("--onnx", help="Write image.onnx and text.onnx instead of a folder to load.")] = False,
    dtype: Annotated[
        Literal["float32", "float16"],
        Option(metavar="TYPE", help="Number format of the stored weights: float32 or float16."),
    ] = "float16",
) -> int:
    """Write a model as a folder that mmcontrast.load reads anywhere, or as ONNX.

    Files of an earlier export of the same folder are replaced. The names of the written files are printed.

      mmcontrast export runs/clip-lite --out exported/
    """
    if (out is None) == (hub is None):
        raise InputError("say where the model goes: either --out DIR or --hub USER/NAME")
    if hub is not None and onnx:
        raise InputError("--onnx writes files to --out DIR and cannot be combined with --hub")
    from mmcontrast import models

    if hub is not None:
        print(models.push_to_hub(model, hub, dtype=dtype))
    elif onnx:
        print(*models.export_onnx(model, str(out)), sep="\n")
    else:
        print(*sorted(models.export(model, str(out), dtype).iterdir()), sep="\n")
    return 0
