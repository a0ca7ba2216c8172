"""Caption files: CSV and TSV tables, Flickr8k token files, COCO and Karpathy JSON."""

import csv
import io
import json
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from mmcontrast.data.io.decode import EXTENSIONS
from mmcontrast.errors import InputError

_PATH_COLUMNS = ("path", "filepath", "file", "filename", "file_name", "image", "image_name", "image_path")
_TEXT_COLUMNS = ("caption", "captions", "text", "title", "comment", "sentence")

_DELIMITERS = {",": "comma", "\t": "tab"}
_LONE_QUOTE = (
    "a double quote opens a field and is not closed in the same row; write the field in double quotes and each double "
    "quote inside it twice"
)

Record = tuple[str, str]  # image's path, one caption


class Packed:
    """Lists of strings in two flat arrays, so that forked workers share them: ``packed[i]`` is the i-th list."""

    def __init__(self, lists: Sequence[Sequence[str]]) -> None:
        encoded = [text.encode(errors="replace") for texts in lists for text in texts]
        self._bytes = b"".join(encoded)
        self._ends = np.cumsum([0] + [len(text) for text in encoded])
        self._starts = np.cumsum([0] + [len(texts) for texts in lists])

    def __len__(self) -> int:
        return len(self._starts) - 1

    def __getitem__(self, index: int) -> list[str]:
        first, last = self._starts[index], self._starts[index + 1]
        ends = self._ends[first : last + 1].tolist()
        return [self._bytes[a:b].decode() for a, b in pairwise(ends)]


def read_captions(path: Path, split: str | None = None) -> tuple[list[str], Packed]:
    """A caption file -> image paths as written, and the captions of each, in order of first appearance.

    Args:
        path: .csv or .tsv with a header that names an image and a caption column; a Flickr8k token file
            (``name.jpg#0<TAB>caption``); COCO's captions_*.json; Karpathy's dataset_*.json.
        split: keep only this part: a name ("train") for Karpathy's JSON, else a file with one image name a line.
    """
    records = list(_records(path, split))
    keep = None if split is None or _is_karpathy_split(path, split) else _names_in(split)
    grouped: dict[str, list[str]] = {}
    for name, caption in records:
        if caption.strip() and (keep is None or Path(name).name in keep):
            grouped.setdefault(name, []).append(caption.strip())
    if not grouped:
        raise InputError(f"{path}: holds no captions{f' of split {split}' if split else ''}")
    return list(grouped), Packed(list(grouped.values()))


def captions_of(record: Any, source: str) -> list[str]:
    """The captions in a sample's JSON: ``captions`` (list) or ``caption`` or ``text`` (string)."""
    value = record.get("captions", record.get("caption", record.get("text"))) if isinstance(record, dict) else None
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise InputError(f"{source}: wanted JSON with 'captions' (a list of strings) or 'caption' (a string)")
    return [
        text.encode(errors="replace").decode().strip() for text in texts if text.strip()
    ]  # JSON can hold half an emoji


def _records(path: Path, split: str | None) -> Iterable[Record]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise InputError(f"{path}: is not UTF-8 text") from None
    if path.suffix.lower() == ".json":
        return _json(path, text, split)
    first = text.split("\n", 1)[0]
    if "#" in first and "\t" in first:
        return _flickr(path, text)
    return _table(path, text, "\t" if "\t" in first else ",")


def _flickr(path: Path, text: str) -> Iterable[Record]:
    for number, line in enumerate(io.StringIO(text), 1):
        if line.strip():
            name, tab, caption = line.partition("\t")
            if not tab:
                raise InputError(f"{path}, line {number}: wanted NAME.jpg#0<TAB>CAPTION, got {line[:60]!r}")
            yield name.rpartition("#")[0] or name, caption


def _table(path: Path, text: str, delimiter: str) -> Iterable[Record]:
    rows = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    header = {(name or "").strip().lower(): name for name in rows.fieldnames or []}
    image = next((header[name] for name in _PATH_COLUMNS if name in header), None)
    caption = next((header[name] for name in _TEXT_COLUMNS if name in header), None)
    if image is None or caption is None:
        raise InputError(
            f"{path}: its first line names the columns {', '.join(header) or '(none)'}; wanted one of "
            f"{', '.join(_PATH_COLUMNS)} and one of {', '.join(_TEXT_COLUMNS)}"
        )
    line = rows.line_num + 1  # the first line of the row
    try:
        for row in rows:
            if any(field.strip() for field in row.pop(None, ())):
                raise InputError(
                    f"{path}, line {line}: has more fields than the header; write a caption that holds a "
                    f"{_DELIMITERS[delimiter]} in double quotes"
                )
            if any(_is_a_row(text, delimiter) for field in row.values() for text in (field or "").split("\n")[1:]):
                raise InputError(f"{path}, line {line}: {_LONE_QUOTE}")
            if not row[image] or row[caption] is None:
                raise InputError(f"{path}, line {line}: an image or a caption is missing")
            yield row[image].strip(), row[caption]
            line = rows.line_num + 1
    except csv.Error:
        raise InputError(f"{path}, line {line}: {_LONE_QUOTE}") from None


def _is_a_row(line: str, delimiter: str) -> bool:
    """Returns whether a line inside a quoted field has several fields and one of them is an image's name."""
    fields = line.split(delimiter)
    suffixes = {Path(field.strip().strip('"')).suffix.lower().lstrip(".") for field in fields}
    return len(fields) > 1 and not suffixes.isdisjoint(EXTENSIONS)


def _json(path: Path, text: str, split: str | None) -> Iterable[Record]:
    try:
        data = json.loads(text)
        if "annotations" in data:
            names = {image["id"]: image["file_name"] for image in data["images"]}
            return [(names[note["image_id"]], note["caption"]) for note in data["annotations"]]
        # Karpathy's "restval" images belong to training
        wanted = None if split is None else {split, "restval"} if split == "train" else {split}
        return [
            (str(Path(image.get("filepath", "")) / image["filename"]), sentence["raw"])
            for image in data["images"]
            if wanted is None or image["split"] in wanted
            for sentence in image["sentences"]
        ]
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise InputError(
            f"{path}: neither COCO captions (images, annotations) nor Karpathy's (images with sentences): {error!r}"
        ) from None


def _is_karpathy_split(path: Path, split: str) -> bool:
    return path.suffix.lower() == ".json" and not Path(split).is_file()


def _names_in(split: str) -> set[str]:
    if not Path(split).is_file():
        raise InputError(f"split {split!r}: no such file of image names")
    return {Path(line.strip()).name for line in Path(split).read_text().splitlines() if line.strip()}
