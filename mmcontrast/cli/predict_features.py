"""``mmcontrast predict features``: what an encoder sees in images, as files and as images."""

import argparse
import csv
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmcontrast.cli.output import output_folder
from mmcontrast.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

    from mmcontrast.predict.features import FeatureExtractor

SHOWN = ("pca", "attention", "activations", "tsne", "neighbors")
# What a method makes of images, by itself -> the method that does (``Method.images``).
METHOD_IMAGES = {
    "rotation": "Rotation",
    "jigsaw": "Jigsaw",
    "relative-patch": "RelativePatch",
    "inpainting": "Inpainting",
    "colorization": "Colorization",
    "split-brain": "SplitBrain",
}
FITTED = 64  # images that the basis of colors is made from
SHEET = 32  # images on a sheet of what a method makes of them
OVERVIEW = 8  # images on an overview sheet


def add_features(subparsers) -> None:
    """Adds the ``features`` subcommand."""
    parser = subparsers.add_parser(
        "features",
        help="show and save what an encoder sees",
        description="Vectors of images (features.npz, features.csv with one row per file), and images of them: "
        "pca (patches as colors, one basis for all images), attention (each head of a vision transformer), "
        "activations (where each block of any network is active), tsne (a map of all images), neighbors (the "
        "nearest images of each query). "
        f"What a trained method makes of the images: {', '.join(METHOD_IMAGES)}.",
        epilog="example: mmcontrast predict features --model clip-lite --show pca,neighbors --out seen photos/",
    )
    parser.add_argument("paths", nargs="+", metavar="PATH", help="an image, or a folder searched at any depth")
    parser.add_argument("--out", required=True, metavar="DIR", help="folder to write to")
    parser.add_argument("--model", default="clip-lite", metavar="M", help="model name or folder (default: %(default)s)")
    parser.add_argument("--show", default="pca", metavar="NAME,...", help=f"of {', '.join(SHOWN)}, all, or none")
    parser.add_argument("--query", nargs="+", metavar="F", help="images whose neighbors to show (default: the first)")
    parser.add_argument("--k", type=int, default=8, metavar="K", help="neighbors (default: 8)")
    parser.add_argument("--region", choices=("foreground", "all"), default="foreground", help="what pca colors")
    parser.add_argument("--resolution", type=int, metavar="S", help="short side at which patches are seen")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of t-SNE (default: 0)")
    parser.add_argument("--batch-size", type=int, default=64, metavar="N", help="images at once (default: 64)")
    parser.add_argument("--device", metavar="D", help="cpu, cuda, cuda:1, ... (default: CUDA where there is one)")
    parser.set_defaults(run=run_features)


def run_features(args: argparse.Namespace) -> int:
    """Returns 0, or 1 when some file could not be read."""
    chosen = {"all": SHOWN, "none": ()}.get(args.show, tuple(args.show.split(",")))
    known = (*SHOWN, *METHOD_IMAGES)
    if unknown := [name for name in chosen if name not in known]:
        raise InputError(f"--show {unknown[0]}: choose from {', '.join(known)}, with commas between, all, or none")
    if args.k < 1:
        raise InputError(f"--k {args.k}: give 1 or more")

    from mmcontrast.inference.image_batches import image_files
    from mmcontrast.predict.features import FeatureExtractor

    files = image_files(*args.paths)
    if not files:
        raise InputError(f"no images in {', '.join(args.paths)}")
    see = FeatureExtractor(
        args.model, device=args.device, batch_size=args.batch_size, resolution=args.resolution
    )
    out = output_folder(args.out)
    readable, vectors = _save_vectors(see, files, out)
    made = []
    if readable:
        shows: dict[str, Callable[[], Any]] = {
            "pca": lambda: _show_pca(see, readable, out, args.region),
            "attention": lambda: _show_attention(see, readable, out),
            "activations": lambda: _show_activations(see, readable, out),
            "tsne": lambda: _show_tsne(readable, vectors, out, args.seed),
            "neighbors": lambda: _show_neighbors(see, readable, vectors, out, args.query, args.k),
        }
        for name in chosen:
            try:
                shows.get(name, lambda name=name: _show_method(args.model, see, readable, out, name))()
            except InputError as error:
                if args.show != "all":
                    raise
                print(f"mmcontrast: no {name}: {error}", file=sys.stderr)
            else:
                made.append(name)
    failed = len(files) - len(readable)
    images = ", ".join(made) or "no images"
    print(f"mmcontrast: wrote {len(readable)} vectors and {images} to {out}.", file=sys.stderr)
    if failed:
        print(f"mmcontrast: {failed} of {len(files)} files could not be read; see {out}/features.csv.", file=sys.stderr)
    return 1 if failed else 0


def _save_vectors(see: "FeatureExtractor", files: Sequence[Path], out: Path) -> tuple[list[Path], "Tensor"]:
    """Writes features.npz and features.csv -> the readable files and their (N, D) vectors."""
    import numpy as np
    import torch
    from tqdm import tqdm

    results = list(tqdm(see.stream(files), total=len(files), unit="image", disable=None, leave=False))
    rows = [(str(result.item), (result.error or "").removeprefix(f"{result.item}: ")) for result in results]
    _write_csv(out / "features.csv", ("path", "error"), rows)
    readable = [result.item for result in results if result.value]
    pooled = [result.value.pooled for result in results if result.value]
    vectors = torch.stack(pooled) if pooled else torch.empty(0, see.encoder.dim)
    np.savez(out / "features.npz", paths=np.array([str(file) for file in readable]), vectors=vectors.numpy())
    return readable, vectors


def _show_method(model: str, see: "FeatureExtractor", files: Sequence[Path], out: Path, name: str) -> None:
    """Writes NAME.png: what the model's own method makes of the first images."""
    import torch

    from mmcontrast.inference.image_batches import image_batches, to_float
    from mmcontrast.models.loading import load
    from mmcontrast.viz.method_outputs import draw_images

    method: Any = load(model)
    if type(method).__name__ != METHOD_IMAGES[name]:
        wanted = METHOD_IMAGES[name]
        raise InputError(f"--show {name}: {model} is a {type(method).__name__}; give a model trained by {wanted}")
    image = next(image_batches(files[:SHEET], see.encoder, SHEET)).image
    with torch.inference_mode():
        key = torch.arange(len(image), device=see.device)
        draw_images(method.to(see.device).images(to_float(image, see.device), key), out / f"{name}.png")


def _show_pca(see: "FeatureExtractor", files: Sequence[Path], out: Path, region: Any) -> None:
    """Writes pca/NAME.png for each image, pca.png with the first of them, and pca.npz with the colors."""
    import numpy as np

    from mmcontrast.viz.patch_pca import PatchPCA

    fitted = [files[i] for i in np.unique(np.linspace(0, len(files) - 1, min(FITTED, len(files))).round().astype(int))]
    grids = {file: see.grid(file) for file in fitted}
    pca = PatchPCA(list(grids.values()), region)
    colors = lambda file: pca(grids[file] if file in grids else see.grid(file)).numpy()
    _each_beside(see, files, out, "pca", colors, lambda found: [(255 * found).round().astype("uint8")])


def _show_attention(see: "FeatureExtractor", files: Sequence[Path], out: Path) -> None:
    """Writes attention/NAME.png: the image, the mean over heads and each head; attention.png; attention.npz."""
    import torch

    from mmcontrast.viz.feature_maps import color_maps

    with_mean = lambda found: torch.cat([found.mean(0, keepdim=True), found])
    paint = lambda found: color_maps(with_mean(torch.from_numpy(found)))
    _each_beside(see, files, out, "attention", lambda file: see.attention(file).numpy(), paint)


def _show_activations(see: "FeatureExtractor", files: Sequence[Path], out: Path) -> None:
    """Writes activations/NAME.png: the image and a map of each block; activations.png; activations.npz."""
    import torch

    from mmcontrast.viz.feature_maps import color_maps

    paint = lambda found: color_maps(torch.from_numpy(found))
    _each_beside(see, files, out, "activations", lambda file: see.activations(file).numpy(), paint)


def _each_beside(
    see: "FeatureExtractor",
    files: Sequence[Path],
    out: Path,
    name: str,
    compute: Callable[[Path], Any],
    paint: Callable[[Any], Any],
) -> None:
    import numpy as np
    from PIL import Image

    from mmcontrast.viz.feature_maps import beside, stack

    arrays, first = {}, []
    for place, file in enumerate(files):
        key = f"{place:04d}_{file.stem}"
        arrays[key] = compute(file)
        sheet = beside(see.read(file), paint(arrays[key]))
        (out / name).mkdir(exist_ok=True)
        Image.fromarray(sheet).save(out / name / f"{key}.png")
        first += [sheet] if place < OVERVIEW else []
    Image.fromarray(stack(first)).save(out / f"{name}.png")
    np.savez(out / f"{name}.npz", **arrays)


def _show_tsne(files: Sequence[Path], vectors: "Tensor", out: Path, seed: int) -> None:
    """Writes tsne.png and tsne.csv."""
    from mmcontrast.viz.feature_maps import draw_map, tsne

    if len(files) < 4:
        raise InputError(f"{len(files)} images; a map needs 4 or more")
    places = tsne(vectors, seed)
    rows = [(str(file), f"{x:.5g}", f"{y:.5g}") for file, (x, y) in zip(files, places.tolist(), strict=True)]
    _write_csv(out / "tsne.csv", ("path", "x", "y"), rows)
    draw_map(files, places, [file.parent.name for file in files], out / "tsne.png")


def _show_neighbors(
    see: "FeatureExtractor", files: Sequence[Path], vectors: "Tensor", out: Path, query: Sequence[str] | None, k: int
) -> None:
    """Writes neighbors.png and neighbors.csv; a query is no neighbor of its own."""
    from torch.nn.functional import normalize

    from mmcontrast.inference.image_batches import image_files
    from mmcontrast.ops.nearest import nearest
    from mmcontrast.viz.feature_maps import draw_neighbors

    queries = image_files(*query) if query else list(files[:OVERVIEW])
    asked = see.pooled(queries) if query else vectors[: len(queries)]
    cosine, places = nearest(normalize(asked, dim=1), normalize(vectors, dim=1), min(k + 1, len(files)))
    rows, images = [], []
    for file, similarities, found in zip(queries, cosine.tolist(), places.tolist(), strict=True):
        near = [(files[i], s) for i, s in zip(found, similarities, strict=True) if files[i].resolve() != file.resolve()]
        near = near[:k]
        rows += [(str(file), rank, str(other), f"{s:.6g}") for rank, (other, s) in enumerate(near, 1)]
        images.append([(file, "query"), *((other, f"{s:.3f}") for other, s in near)])
    _write_csv(out / "neighbors.csv", ("query", "rank", "path", "cosine"), rows)
    draw_neighbors(images, out / "neighbors.png")


def _write_csv(file: Path, header: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    with file.open("w", encoding="utf-8", errors="backslashreplace", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)
