"""``mmcontrast predict colorize``: color gray photographs."""

from typing import Annotated

from typer import Option

from mmcontrast.cli.csv_table import open_csv
from mmcontrast.cli.options import BatchSize, Device, Dtype, Model, Overwrite, Paths, RequiredOut, Resolution, SafeCSV
from mmcontrast.cli.output import OutputFolder
from mmcontrast.cli.report import report
from mmcontrast.cli.terminal import progress, say
from mmcontrast.errors import InputError


def colorize(
    paths: Paths,
    out: RequiredOut,
    overwrite: Overwrite = False,
    model: Model = "colorization-lite",
    temperature: Annotated[
        float | None,
        Option(
            metavar="T",
            help="Temperature of the mean: vivid and patchy near 0, pale and smooth at 1. Without it, the model's.",
        ),
    ] = None,
    safe_csv: SafeCSV = False,
    batch_size: BatchSize = 8,
    resolution: Resolution = None,
    dtype: Dtype = "float32",
    device: Device = None,
) -> int:
    """Color gray photographs.

    Writes NAME.png at full size for each photograph, and colorize.csv with one row per file: path, output, error. The
    model is one that Colorization or SplitBrain has trained.

      mmcontrast predict colorize --out out/ photos/
    """
    from PIL import Image

    from mmcontrast.inference.image_batches import image_files
    from mmcontrast.predict.colorize import Colorizer

    if not (files := image_files(*paths)):
        raise InputError(f"no images in {', '.join(paths)}")
    predict = Colorizer(
        model, device=device, batch_size=batch_size, resolution=resolution, dtype=dtype, temperature=temperature
    )
    folder, errors = OutputFolder(out, overwrite, files), 0
    with open_csv(folder / "colorize.csv", ("path", "output", "error"), safe_csv) as write:
        for file, result in zip(files, progress(predict.stream(files), len(files), "image"), strict=True):
            if result.value is None:
                errors += 1
                write((str(file), "", (result.error or "").removeprefix(f"{file}: ")))
            else:
                target = folder.free(f"{file.stem}.png")
                Image.fromarray(result.value.image).save(target)
                write((str(file), str(target), ""))
    if errors:
        say(f"{errors} of {len(files)} files could not be read; see {folder.path / 'colorize.csv'}.")
    return report(model=model, data=paths, metrics={}, counts={"images": len(files), "errors": errors}, out=folder)
