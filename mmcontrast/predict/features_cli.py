"""``mmcontrast predict features``: what an encoder sees in pictures, as files and as pictures."""

import argparse
import csv
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmcontrast.errors import InputError
from mmcontrast.predict.output import output_folder

if TYPE_CHECKING:
    from torch import Tensor

    from mmcontrast.predict.features import FeatureExtractor

SHOWN = ("pca", "attention", "activations", "tsne", "neighbours")
# What a method makes of pictures, by itself -> the method that does (``Method.pictures``).
METHOD_PICTURES = {
    "rotation": "Rotation",
    "jigsaw": "Jigsaw",
    "relative-patch": "RelativePatch",
    "inpainting": "Inpainting",
    "colorization": "Colorization",
    "split-brain": "SplitBrain",
}
FITTED = 64  # pictures that the basis of colours is made from
SHEET = 32  # pictures on a sheet of what a method makes of them
OVERVIEW = 8  # pictures on an overview sheet


def add_features(subparsers) -> None:
    """Adds the ``features`` subcommand."""
    parser = subparsers.add_parser(
        "features",
        help="show and save what an encoder sees",
        description="Vectors of pictures (features.npz, features.csv with one row per file), and pictures of them: "
        "pca (patches as colours, one basis for all pictures), attention (each head of a vision transformer), "
        "activations (where each block of any network is active), tsne (a map of all pictures), neighbours (the "
        "nearest pictures of each query). "
        f"What a trained method makes of the pictures: {', '.join(METHOD_PICTURES)}.",
        epilog="example: mmcontrast predict features --model clip-lite --show pca,neighbours --out seen photos/",
    )
    parser.add_argument("paths", nargs="+", metavar="PATH", help="a picture, or a folder searched at any depth")
    parser.add_argument("--out", required=True, metavar="DIR", help="folder to write to")
    parser.add_argument("--model", default="clip-lite", metavar="M", help="model name or folder (default: %(default)s)")
    parser.add_argument("--show", default="pca", metavar="NAME,...", help=f"of {', '.join(SHOWN)}, all, or none")
    parser.add_argument(
        "--query", nargs="+", metavar="F", help="pictures whose neighbours to show (default: the first)"
    )
    parser.add_argument("--k", type=int, default=8, metavar="K", help="neighbours (default: 8)")
    parser.add_argument("--region", choices=("foreground", "all"), default="foreground", help="what pca colours")
    parser.add_argument("--resolution", type=int, metavar="S", help="short side at which patches are seen")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of t-SNE (default: 0)")
    parser.add_argument("--batch-size", type=int, default=64, metavar="N", help="pictures at once (default: 64)")
    parser.add_argument("--device", metavar="D", help="cpu, cuda, cuda:1, ... (default: CUDA where there is one)")
    parser.set_defaults(run=run_features)


def run_features(args: argparse.Namespace) -> int:
    """Returns 0, or 1 when some file could not be read."""
    chosen = {"all": SHOWN, "none": ()}.get(args.show, tuple(args.show.split(",")))
    known = (*SHOWN, *METHOD_PICTURES)
    if unknown := [name for name in chosen if name not in known]:
        raise InputError(f"--show {unknown[0]}: choose from {', '.join(known)}, with commas between, all, or none")
    if args.k < 1:
        raise InputError(f"--k {args.k}: give 1 or more")

    from mmcontrast.predict.features import FeatureExtractor
    from mmcontrast.predict.images import picture_files

    files = picture_files(*args.paths)
    if not files:
        raise InputError(f"no pictures in {', '.join(args.paths)}")
    see = FeatureExtractor(args.model, args.device, args.batch_size, args.resolution)
    out = output_folder(args.out)
    readable, vectors = _save_vectors(see, files, out)
    made = []
    if readable:
        shows: dict[str, Callable[[], Any]] = {
            "pca": lambda: _show_pca(see, readable, out, args.region),
            "attention": lambda: _show_attention(see, readable, out),
            "activations": lambda: _show_activations(see, readable, out),
            "tsne": lambda: _show_tsne(readable, vectors, out, args.seed),
            "neighbours": lambda: _show_neighbours(see, readable, vectors, out, args.query, args.k),
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
    pictures = ", ".join(made) or "no pictures"
    print(f"mmcontrast: wrote {len(readable)} vectors and {pictures} to {out}.", file=sys.stderr)
    if failed:
        print(f"mmcontrast: {failed} of {len(files)} files could not be read; see {out}/features.csv.", file=sys.stderr)
    return 1 if failed else 0


def _save_vectors(see: "FeatureExtractor", files: Sequence[Path], out: Path) -> tuple[list[Path], "Tensor"]:
    """Writes features.npz and features.csv -> the readable files and their (N, D) vectors."""
    import numpy as np
    import torch
    from tqdm import tqdm

    found, problems = [], []
    with tqdm(total=len(files), unit="picture", disable=None, leave=False) as bar:
        for vectors, errors in see.stream(files):
            found.append(vectors)
            problems += errors
            bar.update(len(errors))
    rows = [
        (str(file), "" if error is None else error.removeprefix(f"{file}: "))
        for file, error in zip(files, problems, strict=True)
    ]
    _write_csv(out / "features.csv", ("path", "error"), rows)
    readable = [file for file, error in zip(files, problems, strict=True) if error is None]
    vectors = torch.cat([part for part in found if len(part)] or found[:1])
    np.savez(out / "features.npz", paths=np.array([str(file) for file in readable]), vectors=vectors.numpy())
    return readable, vectors


def _show_method(model: str, see: "FeatureExtractor", files: Sequence[Path], out: Path, name: str) -> None:
    """Writes NAME.png: what the model's own method makes of the first pictures."""
    import torch

    from mmcontrast.loading import load
    from mmcontrast.predict.images import batches, to_float
    from mmcontrast.predict.method_pictures import draw_pictures

    method: Any = load(model)
    if type(method).__name__ != METHOD_PICTURES[name]:
        wanted = METHOD_PICTURES[name]
        raise InputError(f"--show {name}: {model} is a {type(method).__name__}; give a model trained by {wanted}")
    image = next(batches(files[:SHEET], see.encoder, SHEET)).image
    with torch.inference_mode():
        key = torch.arange(len(image), device=see.device)
        draw_pictures(method.to(see.device).pictures(to_float(image, see.device), key), out / f"{name}.png")


def _show_pca(see: "FeatureExtractor", files: Sequence[Path], out: Path, region: Any) -> None:
    """Writes pca/NAME.png for each picture, pca.png with the first of them, and pca.npz with the colours."""
    import numpy as np

    from mmcontrast.predict.patch_pca import PatchPCA

    fitted = [files[i] for i in np.unique(np.linspace(0, len(files) - 1, min(FITTED, len(files))).round().astype(int))]
    grids = {file: see.grid(file) for file in fitted}
    pca = PatchPCA(list(grids.values()), region)
    colours = lambda file: pca(grids[file] if file in grids else see.grid(file)).numpy()
    _each_beside(see, files, out, "pca", colours, lambda found: [(255 * found).round().astype("uint8")])


def _show_attention(see: "FeatureExtractor", files: Sequence[Path], out: Path) -> None:
    """Writes attention/NAME.png: the picture, the mean over heads and each head; attention.png; attention.npz."""
    import torch

    from mmcontrast.predict.feature_pictures import colour_maps

    with_mean = lambda found: torch.cat([found.mean(0, keepdim=True), found])
    paint = lambda found: colour_maps(with_mean(torch.from_numpy(found)))
    _each_beside(see, files, out, "attention", lambda file: see.attention(file).numpy(), paint)


def _show_activations(see: "FeatureExtractor", files: Sequence[Path], out: Path) -> None:
    """Writes activations/NAME.png: the picture and a map of each block; activations.png; activations.npz."""
    import torch

    from mmcontrast.predict.feature_pictures import colour_maps

    paint = lambda found: colour_maps(torch.from_numpy(found))
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

    from mmcontrast.predict.feature_pictures import beside, stack

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
    from mmcontrast.predict.feature_pictures import draw_map, tsne

    if len(files) < 4:
        raise InputError(f"{len(files)} pictures; a map needs 4 or more")
    places = tsne(vectors, seed)
    rows = [(str(file), f"{x:.5g}", f"{y:.5g}") for file, (x, y) in zip(files, places.tolist(), strict=True)]
    _write_csv(out / "tsne.csv", ("path", "x", "y"), rows)
    draw_map(files, places, [file.parent.name for file in files], out / "tsne.png")


def _show_neighbours(
    see: "FeatureExtractor", files: Sequence[Path], vectors: "Tensor", out: Path, query: Sequence[str] | None, k: int
) -> None:
    """Writes neighbours.png and neighbours.csv; a query is no neighbour of its own."""
    from torch.nn.functional import normalize

    from mmcontrast.ops.nearest import nearest
    from mmcontrast.predict.feature_pictures import draw_neighbours
    from mmcontrast.predict.images import picture_files

    queries = picture_files(*query) if query else list(files[:OVERVIEW])
    asked = see(queries) if query else vectors[: len(queries)]
    cosine, places = nearest(normalize(asked, dim=1), normalize(vectors, dim=1), min(k + 1, len(files)))
    rows, pictures = [], []
    for file, similarities, found in zip(queries, cosine.tolist(), places.tolist(), strict=True):
        near = [(files[i], s) for i, s in zip(found, similarities, strict=True) if files[i].resolve() != file.resolve()]
        near = near[:k]
        rows += [(str(file), rank, str(other), f"{s:.6g}") for rank, (other, s) in enumerate(near, 1)]
        pictures.append([(file, "query"), *((other, f"{s:.3f}") for other, s in near)])
    _write_csv(out / "neighbours.csv", ("query", "rank", "path", "cosine"), rows)
    draw_neighbours(pictures, out / "neighbours.png")


def _write_csv(file: Path, header: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    with file.open("w", encoding="utf-8", errors="backslashreplace", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)
