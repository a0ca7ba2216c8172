"""Images with captions, from shards, tables, caption files and class folders."""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch.utils.data import Dataset

from mmcontrast.data.datasets.captions import Packed, captions_of, read_captions
from mmcontrast.data.datasets.images import Images, Pixels
from mmcontrast.data.datasets.prompt_templates import templates as read_templates
from mmcontrast.data.io.archives import Root
from mmcontrast.data.io.decode import Fit
from mmcontrast.data.io.resize import Interpolation
from mmcontrast.data.io.samples import Samples
from mmcontrast.data.sampler import SampleKey
from mmcontrast.errors import InputError
from mmcontrast.ops.random import derive_key

_CAPTION_STREAM = 0x7E47


class ImageText(Dataset[dict[str, Any]]):
    """Images, each with one of its captions, chosen anew in each epoch.

    A sample is ``image`` (3, size, size) uint8, ``text`` str and ``sample_key`` int.  A pair whose image or caption
    cannot be read gives ``{"corrupt": message, "sample_key": int}`` instead, which ``Collate`` drops and counts.

    Args:
        root: shards in WebDataset's convention (KEY.jpg with KEY.txt, or KEY.json with ``caption`` or ``captions``), as
            a .tar, .tar.gz or .zip file, a folder of those or a pattern (``cc3m/{00000..00331}.tar``); a folder with
            KEY.jpg beside KEY.txt; a caption file: .csv, .tsv, Flickr8k token file, COCO or Karpathy .json;
            class folders or shards with KEY.cls, whose class names become captions.
        size: side of the square image in pixels.
        fit: "crop", "squash" or "random", as in ``Images``.
        scale: smallest and largest area of a random region, as a fraction of the image.
        images: the folder that a caption file's image paths are relative to; its own folder if not given.
        split: of a caption file, keep only this part: a name in Karpathy's JSON, else a file of image names.
        classnames: as in ``Images``.
        templates: of class names, the sentences that make captions: a set's name, a file, or sentences with ``{}``.
        prompts: of class names, whole captions: a mapping from class name to captions, or a JSON file with one.
        interpolation: "bicubic" or "bilinear", how images are resized.
    """

    def __init__(
        self,
        root: Root,
        size: int = 224,
        fit: Fit = "crop",
        scale: tuple[float, float] = (0.9, 1.0),
        images: str | Path | None = None,
        split: str | None = None,
        classnames: str | Path | Sequence[str] | None = None,
        templates: str | Path | Sequence[str] = "simple",
        prompts: str | Path | Mapping[str, Sequence[str]] | None = None,
        interpolation: Interpolation = "bicubic",
    ) -> None:
        self._packed: Packed | None = None
        self._by_class: Packed | None = None
        if isinstance(root, str | Path) and str(root).lower().endswith((".csv", ".tsv", ".txt", ".json")):
            path = Path(root)
            if not path.is_file():
                raise InputError(f"{path}: no such caption file")
            names, self._packed = read_captions(path, split)
            folder = str(images if images is not None else path.parent)
            first = os.path.join(folder, names[0])
            if not os.path.exists(first):
                raise InputError(f"{first}: no such file; give the folder of the images of {path} as images")
            self.samples = Samples.of_files(folder, names)
        else:
            if images is not None or split is not None:
                raise InputError(f"{root}: images and split belong to a caption file (.csv, .tsv, .txt, .json)")
            self.samples = Samples(root)
            if not self._has_captions():
                self._labeled = Images(root, size, classnames=classnames)
                self._by_class = Packed(_class_captions(self._labeled, read_templates(templates), prompts))
        self.pixels = Pixels(self.samples, size, fit, scale, interpolation)

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, sample_key: int | SampleKey) -> dict[str, Any]:
        sample_key = SampleKey.of(sample_key)
        sample: dict[str, Any] = {"sample_key": sample_key.to_int()}
        try:
            captions, image = self.captions(sample_key.index), self.pixels(sample_key)
        except InputError as error:
            return {**sample, "corrupt": str(error)}
        return {
            **sample,
            "image": image,
            "text": captions[derive_key(sample_key.to_int(), _CAPTION_STREAM) % len(captions)],
        }

    def name(self, index: int) -> str:
        """Where the sample comes from."""
        return self.samples.name(index)

    def captions(self, index: int) -> list[str]:
        """All captions of an image, at least one."""
        if self._packed is not None:
            return self._packed[index]
        if self._by_class is not None:
            label = self._labeled.label(index)
            if label is None or label < 0:
                raise InputError(f"{self.name(index)}: has neither a caption nor a class")
            return self._by_class[label]
        text = self.samples.text(index, "txt")
        if text is None and (record := self.samples.text(index, "json")) is not None:
            texts = captions_of(_parse(record, self.name(index)), f"{self.name(index)}.json")
        else:
            texts = [text] if text else []
        if not texts:
            raise InputError(f"{self.name(index)}: has no caption (KEY.txt, or KEY.json with 'caption' or 'captions')")
        return texts

    def _has_captions(self) -> bool:
        """Tells whether the samples have captions, not only labels; the first sample with a record decides."""
        if self.samples.has("txt"):
            return True
        if not self.samples.has("json"):
            return False
        index = next(i for i in range(len(self.samples)) if self.samples.text(i, "json") is not None)
        record = _parse(self.samples.text(index, "json") or "", self.name(index))
        return bool({"captions", "caption", "text"} & set(record))


def _parse(text: str, name: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise InputError(f"{name}.json is not JSON ({error})") from None


def _class_captions(
    labeled: Images, sentences: Sequence[str], prompts: str | Path | Mapping[str, Sequence[str]] | None
) -> list[list[str]]:
    """Captions of each class: its prompts, or its name in the sentences."""
    if (labeled.labels < 0).all() if labeled.class_folders else labeled.label(0) is None:
        raise InputError(f"{labeled.name(0)}: has neither captions (.txt, .json) nor a class (folder, .cls)")
    classes = labeled.classes
    if prompts is None:
        return [[sentence.replace("{}", name.replace("_", " ")) for sentence in sentences] for name in classes]
    table = _parse(Path(prompts).read_text(), str(prompts)) if isinstance(prompts, str | Path) else prompts
    missing = [name for name in classes if not table.get(name)]
    if missing:
        raise InputError(f"prompts: none for {len(missing)} of {len(classes)} classes: {', '.join(missing[:5])}")
    return [list(table[name]) for name in classes]
