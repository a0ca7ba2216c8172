"""The drawings of ``mmcontrast predict features``."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import normalize

from mmcontrast.cli.csv_table import open_csv
from mmcontrast.cli.output import OutputFolder
from mmcontrast.cli.predict_features import METHOD_VIEWS
from mmcontrast.cli.terminal import say
from mmcontrast.errors import InputError
from mmcontrast.inference.image_batches import image_batches, image_files, to_float
from mmcontrast.models import load
from mmcontrast.ops.nearest import nearest
from mmcontrast.predict.features import FeatureExtractor
from mmcontrast.viz.feature_maps import beside, color_maps, draw_map, draw_neighbors, stack, tsne
from mmcontrast.viz.method_outputs import draw_images
from mmcontrast.viz.patch_pca import PatchPCA

_FITTED = 64  # images that the basis of colors is computed from
_SHEET = 32  # images on a sheet of what a method makes of them
_OVERVIEW = 8  # images on an overview sheet
Maps = npt.NDArray[np.float32]


class FeatureViews:
    """Draws the features of images into a folder.

    Args:
        model: Name of the model, for views that need its method.
        extractor: The features of the model.
        readable: Images and their (D,) vectors.
        folder: The folder of the results.
        safe_csv: See ``open_csv``.
    """

    def __init__(
        self,
        model: str,
        extractor: FeatureExtractor,
        readable: Sequence[tuple[Path, Tensor]],
        folder: OutputFolder,
        safe_csv: bool = False,
    ) -> None:
        self.model, self.extractor, self.folder, self.safe_csv = model, extractor, folder, safe_csv
        self.files = [file for file, _ in readable]
        self.vectors = torch.stack([v for _, v in readable]) if readable else torch.empty(0, extractor.encoder.dim)

    def save_vectors(self) -> None:
        """Writes features.npz."""
        paths = np.array([str(file) for file in self.files])
        np.savez(self.folder / "features.npz", paths=paths, vectors=self.vectors.numpy())

    def draw(
        self,
        names: Sequence[str],
        skip: bool,
        region: Literal["foreground", "all"],
        seed: int,
        query: Sequence[str] | None,
        k: int,
    ) -> list[str]:
        """Draws views and returns the names of those that were drawn.

        Args:
            names: The views.
            skip: Whether a view that the encoder lacks is left out with a message.
            region: Part of the images that pca colors.
            seed: Seed of t-SNE.
            query: Images whose neighbors are drawn. None stands for the first.
            k: Number of neighbors.

        Raises:
            InputError: The encoder lacks a view, and ``skip`` is False.
        """
        views: dict[str, Callable[[], None]] = {
            "pca": lambda: self.pca(region),
            "attention": self.attention,
            "activations": self.activations,
            "tsne": lambda: self.tsne(seed),
            "neighbors": lambda: self.neighbors(query, k),
        }
        drawn = []
        for name in names:
            try:
                views[name]() if name in views else self.method_output(name)
            except InputError as error:
                if not skip:
                    raise
                say(f"no {name}: {error}")
            else:
                drawn.append(name)
        return drawn

    def method_output(self, name: str) -> None:
        """Writes NAME.png: what the model's own method makes of the first images."""
        method: Any = load(self.model)
        if type(method).__name__ != METHOD_VIEWS[name]:
            wanted = METHOD_VIEWS[name]
            raise InputError(
                f"--show {name}: {self.model} is a {type(method).__name__}; give a model trained by {wanted}"
            )
        device = self.extractor.device
        image = next(image_batches(self.files[:_SHEET], self.extractor.encoder, _SHEET)).image
        with torch.inference_mode():
            sample_key = torch.arange(len(image), device=device)
            images = method.to(device).images(to_float(image, device), sample_key)
        draw_images(images, self.folder / f"{name}.png")

    def pca(self, region: Literal["foreground", "all"]) -> None:
        """Writes pca/NAME.png for each image, pca.png with the first of them, and pca.npz with the colors."""
        count = len(self.files)
        fitted = np.unique(np.linspace(0, count - 1, min(_FITTED, count)).round().astype(int))
        grids = {self.files[i]: self.extractor.grid(self.files[i]) for i in fitted}
        pca = PatchPCA(list(grids.values()), region)
        self._beside(
            "pca",
            lambda file: pca(grids[file] if file in grids else self.extractor.grid(file)).numpy(),
            lambda colors: [(255 * colors).round().astype("uint8")],
        )

    def attention(self) -> None:
        """Writes attention/NAME.png: the image, the mean over heads and each head; attention.png; attention.npz."""

        def paint(heads: Maps) -> Any:
            maps = torch.from_numpy(heads)
            return color_maps(torch.cat([maps.mean(0, keepdim=True), maps]))

        self._beside("attention", lambda file: self.extractor.attention(file).numpy(), paint)

    def activations(self) -> None:
        """Writes activations/NAME.png: the image and a map of each block; activations.png; activations.npz."""
        self._beside(
            "activations",
            lambda file: self.extractor.activations(file).numpy(),
            lambda maps: color_maps(torch.from_numpy(maps)),
        )

    def tsne(self, seed: int) -> None:
        """Writes tsne.png and tsne.csv."""
        if len(self.files) < 4:
            raise InputError(f"{len(self.files)} images; a map needs 4 or more")
        positions = tsne(self.vectors, seed)
        with open_csv(self.folder / "tsne.csv", ("path", "x", "y"), self.safe_csv) as write:
            for file, (x, y) in zip(self.files, positions.tolist(), strict=True):
                write((str(file), f"{x:.5g}", f"{y:.5g}"))
        draw_map(self.files, positions, [file.parent.name for file in self.files], self.folder / "tsne.png")

    def neighbors(self, query: Sequence[str] | None, k: int) -> None:
        """Writes neighbors.png and neighbors.csv; a query is no neighbor of its own."""
        queries = image_files(*query) if query else self.files[:_OVERVIEW]
        asked = self.extractor.pooled(queries) if query else self.vectors[: len(queries)]
        vectors = normalize(self.vectors, dim=1)
        cosines, indices = nearest(normalize(asked, dim=1), vectors, min(k + 1, len(self.files)))
        images = []
        with open_csv(self.folder / "neighbors.csv", ("query", "rank", "path", "cosine"), self.safe_csv) as write:
            for file, row, order in zip(queries, cosines.tolist(), indices.tolist(), strict=True):
                pairs = [(self.files[i], cosine) for i, cosine in zip(order, row, strict=True)]
                near = [(other, cosine) for other, cosine in pairs if other.resolve() != file.resolve()][:k]
                for rank, (other, cosine) in enumerate(near, 1):
                    write((str(file), str(rank), str(other), f"{cosine:.6g}"))
                images.append([(file, "query"), *((other, f"{cosine:.3f}") for other, cosine in near)])
        draw_neighbors(images, self.folder / "neighbors.png")

    def _beside(self, name: str, compute: Callable[[Path], Any], paint: Callable[[Any], Any]) -> None:
        """Writes each image with its maps beside it, a sheet of the first, and the arrays of all."""
        arrays, first = {}, []
        sheets = self.folder / name
        sheets.mkdir()
        for index, file in enumerate(self.files):
            key = f"{index:04d}_{file.stem}"
            arrays[key] = compute(file)
            sheet = beside(self.extractor.read(file), paint(arrays[key]))
            Image.fromarray(sheet).save(sheets / f"{key}.png")
            first += [sheet] if index < _OVERVIEW else []
        Image.fromarray(stack(first)).save(self.folder / f"{name}.png")
        np.savez(self.folder / f"{name}.npz", **arrays)
