"""``mmcontrast predict features``: save the features of images, and draw what an encoder sees."""

from typing import Annotated, Literal

from typer import Option

from mmcontrast.cli.csv_table import open_csv
from mmcontrast.cli.options import (
    BatchSize,
    Device,
    Dtype,
    Model,
    Overwrite,
    Paths,
    RequiredOut,
    Resolution,
    SafeCSV,
    Seed,
    split,
)
from mmcontrast.cli.output import OutputFolder
from mmcontrast.cli.report import report
from mmcontrast.cli.terminal import progress, say
from mmcontrast.errors import InputError

VIEWS = ("pca", "attention", "activations", "tsne", "neighbors")
# What a method makes of images by itself (``Method.images``): name of the view -> class of the method.
METHOD_VIEWS = {
    "rotation": "Rotation",
    "jigsaw": "Jigsaw",
    "relative-patch": "RelativePatch",
    "inpainting": "Inpainting",
    "colorization": "Colorization",
    "split-brain": "SplitBrain",
}


def features(
    paths: Paths,
    out: RequiredOut,
    overwrite: Overwrite = False,
    model: Model = "clip-lite",
    show: Annotated[
        str,
        Option(
            metavar="NAME,...",
            help="Views to draw: pca, attention, activations, tsne, neighbors, all of these, none; or what a trained "
            "method makes of the images: rotation, jigsaw, relative-patch, inpainting, colorization, split-brain.",
        ),
    ] = "pca",
    query: Annotated[
        list[str] | None,
        Option(
            metavar="FILE",
            help="Image whose neighbors are drawn; repeat the option for more. Without it, the first eight images.",
        ),
    ] = None,
    k: Annotated[int, Option(metavar="N", min=1, help="Number of neighbors to draw.")] = 8,
    region: Annotated[Literal["foreground", "all"], Option(help="Part of the images that pca colors.")] = "foreground",
    safe_csv: SafeCSV = False,
    batch_size: BatchSize = 64,
    resolution: Resolution = None,
    dtype: Dtype = "float32",
    device: Device = None,
    seed: Seed = 0,
) -> int:
    """Save the features of images, and draw what an encoder sees.

    Writes features.npz (paths, vectors), features.csv with one row per file, and the drawings: pca (patches as colors,
    one basis for all images), attention (each head of a vision transformer), activations (where each block of a network
    is active), tsne (a map of all images), neighbors (the nearest images of each query).

      mmcontrast predict features --show pca,neighbors --out seen/ photos/
    """
    names = _names(show)

    from mmcontrast.cli.feature_views import FeatureViews
    from mmcontrast.inference.image_batches import image_files
    from mmcontrast.predict.features import FeatureExtractor

    if not (files := image_files(*paths)):
        raise InputError(f"no images in {', '.join(paths)}")
    extractor = FeatureExtractor(model, device=device, batch_size=batch_size, resolution=resolution, dtype=dtype)
    folder = OutputFolder(out, overwrite, [*files, *(query or ())])
    results = list(progress(extractor.stream(files), len(files), "image"))
    with open_csv(folder / "features.csv", ("path", "error"), safe_csv) as write:
        for file, result in zip(files, results, strict=True):
            write((str(file), (result.error or "").removeprefix(f"{file}: ")))
    readable = [(file, result.value.pooled) for file, result in zip(files, results, strict=True) if result.value]
    views = FeatureViews(model, extractor, readable, folder, safe_csv)
    views.save_vectors()
    drawn = views.draw(names, show == "all", region, seed, query, k) if readable else []
    errors = len(files) - len(readable)
    say(f"wrote {len(readable)} vectors and {', '.join(drawn) or 'no drawings'} to {folder}.")
    if errors:
        say(f"{errors} of {len(files)} files could not be read; see {folder.path / 'features.csv'}.")
    counts = {"images": len(files), "errors": errors}
    metrics = {"dim": int(extractor.encoder.dim), "views": drawn}
    return report(model=model, data=paths, metrics=metrics, counts=counts, out=folder)


def _names(show: str) -> tuple[str, ...]:
    """Returns the names of the views in ``--show``."""
    names = {"all": VIEWS, "none": ()}.get(show, tuple(split(show)))
    known = (*VIEWS, *METHOD_VIEWS)
    if unknown := [name for name in names if name not in known]:
        raise InputError(f"--show {unknown[0]}: choose from {', '.join(known)}, with commas between, all, or none")
    return names
