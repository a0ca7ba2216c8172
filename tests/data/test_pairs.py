"""Captions from shards, tables and class names; one an image and epoch, and all of them when asked."""

import io
import json
import pickle
import tarfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import pytest
from PIL import Image

from mmcontrast.data import ImageText
from mmcontrast.data.datasets.prompt_templates import OPENAI80, SIMPLE, read_classnames, templates
from mmcontrast.data.sampler import SampleKey
from mmcontrast.errors import InputError


def jpeg() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (12, 8), (200, 0, 0)).save(file, "JPEG")
    return file.getvalue()


def shard(path: Path, files: Mapping[str, str | bytes]) -> Path:
    with tarfile.open(path, "w") as tar:
        for name, data in files.items():
            data = data.encode() if isinstance(data, str) else data
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return path


@pytest.fixture
def images(tmp_path: Path) -> Path:
    for name in ("a.jpg", "b.jpg", "c d.jpg"):
        (tmp_path / "images").mkdir(exist_ok=True)
        (tmp_path / "images" / name).write_bytes(jpeg())
    return tmp_path


def all_captions(data: ImageText) -> list[list[str]]:
    return [data.captions(i) for i in range(len(data))]


def test_shards(tmp_path: Path):
    shard(tmp_path / "0.tar", {"k.jpg": jpeg(), "k.txt": " a dog \n", "k.json": json.dumps({"caption": "not this"})})
    shard(tmp_path / "1.tar", {"k.jpg": jpeg(), "k.json": json.dumps({"captions": ["one", " two", ""]})})
    shard(tmp_path / "2.tar", {"k.jpg": jpeg(), "k.json": json.dumps({"caption": "über 🐶"})})
    data = ImageText(f"{tmp_path}/{{0..2}}.tar", 8)
    assert all_captions(data) == [["a dog"], ["one", "two"], ["über 🐶"]]
    sample = data[2]
    assert (sample["text"], tuple(sample["image"].shape), sample["sample_key"]) == (
        "über 🐶",
        (3, 8, 8),
        SampleKey(2).to_int(),
    )
    assert data.name(1).endswith("1.tar: k")


def test_one_caption_a_key_and_all_of_them_in_time(tmp_path: Path):
    captions = ["one", "two", "three", "four", "five"]
    data = ImageText(shard(tmp_path / "x.tar", {"k.jpg": jpeg(), "k.json": json.dumps({"captions": captions})}), 8)
    drawn = [data[SampleKey(0, epoch, 1)]["text"] for epoch in range(300)]
    assert drawn == [data[SampleKey(0, epoch, 1)]["text"] for epoch in range(300)]
    counts = Counter(drawn)
    assert set(counts) == set(captions)
    assert max(counts.values()) < 90


def test_a_folder_with_text_files(images: Path):
    for name in ("a", "b", "c d"):
        (images / "images" / f"{name}.txt").write_text(f"this is {name}")
    assert all_captions(ImageText(images / "images", 8)) == [["this is a"], ["this is b"], ["this is c d"]]


TABLES = {
    "x.csv": 'filepath,caption\nimages/a.jpg,"a, with comma"\nimages/b.jpg,b\nimages/a.jpg,again\n',
    "x.tsv": "\ufeffCaption\tPath\na, with comma\timages/a.jpg\nb\timages/b.jpg\nagain\timages/a.jpg\n",
    "kaggle.txt": 'image,caption\nimages/a.jpg,"a, with comma"\nimages/b.jpg,b\nimages/a.jpg,again\n',
    "token.txt": "images/a.jpg#0\ta, with comma\nimages/b.jpg#0\tb\nimages/a.jpg#1\tagain\n",
    "coco.json": json.dumps(
        {
            "images": [{"id": 1, "file_name": "images/a.jpg"}, {"id": 2, "file_name": "images/b.jpg"}],
            "annotations": [
                {"image_id": 1, "caption": "a, with comma"},
                {"image_id": 2, "caption": " b"},
                {"image_id": 1, "caption": "again"},
            ],
        }
    ),
    "karpathy.json": json.dumps(
        {
            "images": [
                {
                    "filepath": "images",
                    "filename": "a.jpg",
                    "split": "train",
                    "sentences": [{"raw": "a, with comma"}, {"raw": "again"}],
                },
                {"filepath": "images", "filename": "b.jpg", "split": "test", "sentences": [{"raw": "b"}]},
            ]
        }
    ),
}


@pytest.mark.parametrize("name", TABLES)
def test_caption_files(name: str, images: Path):
    (images / name).write_text(TABLES[name], encoding="utf-8")
    data = ImageText(images / name, 8)
    assert all_captions(data) == [["a, with comma", "again"], ["b"]]
    assert data[1]["text"] == "b"
    copy = pickle.loads(pickle.dumps(data))
    assert copy.captions(0) == data.captions(0)


def test_splits_and_a_folder_of_images(images: Path):
    (images / "karpathy.json").write_text(TABLES["karpathy.json"])
    assert all_captions(ImageText(images / "karpathy.json", 8, split="test")) == [["b"]]
    (images / "token.txt").write_text("a.jpg#0\tone\nb.jpg#0\ttwo\n")
    (images / "list.txt").write_text("b.jpg\n")
    data = ImageText(images / "token.txt", 8, images=images / "images", split=str(images / "list.txt"))
    assert all_captions(data) == [["two"]]


def test_mistakes_in_caption_files_are_named(images: Path):
    cases = {
        "columns.csv": ("a,b\n1,2\n", "wanted one of"),
        "short.csv": ("path,caption\nimages/a.jpg\n", "line 2"),
        "empty.csv": ("path,caption\n", "holds no captions"),
        "missing.csv": ("path,caption\nnowhere.jpg,x\n", "as images"),
        "list.json": ("[1]", "neither COCO"),
        "broken.json": ("{", "neither COCO"),
        "token.txt": ("a.jpg#0\tone\nno tab\n", "line 2"),
    }
    for name, (text, reason) in cases.items():
        (images / name).write_text(text)
        with pytest.raises(InputError, match=reason):
            ImageText(images / name, 8)
    with pytest.raises(InputError, match="no such caption file"):
        ImageText(images / "nowhere.csv", 8)
    (images / "y.csv").write_text(TABLES["x.csv"])
    with pytest.raises(InputError, match="no such file of image names"):
        ImageText(images / "y.csv", 8, split="train")
    with pytest.raises(InputError, match="belong to a caption file"):
        ImageText(images / "images", 8, split="train")
    (images / "latin.csv").write_bytes("path,caption\nimages/a.jpg,ü\n".encode("latin-1"))
    with pytest.raises(InputError, match="not UTF-8"):
        ImageText(images / "latin.csv", 8)


def test_class_names_become_captions(tmp_path: Path):
    for name in ("polar_bear", "ant"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "1.jpg").write_bytes(jpeg())
    data = ImageText(tmp_path, 8, templates=["a photo of a {}.", "a {}"])
    assert all_captions(data) == [["a photo of a ant.", "a ant"], ["a photo of a polar bear.", "a polar bear"]]
    assert len(ImageText(tmp_path, 8).captions(0)) == len(SIMPLE)
    prompts = {"ant": ["an insect"], "polar_bear": ["a white bear", "ice"]}
    assert all_captions(ImageText(tmp_path, 8, prompts=prompts)) == [["an insect"], ["a white bear", "ice"]]
    (tmp_path / "prompts.json").write_text(json.dumps({"ant": ["x"]}))
    with pytest.raises(InputError, match="none for 1 of 2 classes: polar_bear"):
        ImageText(tmp_path, 8, prompts=tmp_path / "prompts.json")


def test_images_without_captions_are_named(tmp_path: Path):
    with pytest.raises(InputError, match="neither captions"):
        ImageText(shard(tmp_path / "x.tar", {"k.jpg": jpeg()}), 8)
    data = ImageText(shard(tmp_path / "y.tar", {"a.jpg": jpeg(), "a.txt": "one", "b.jpg": jpeg()}), 8)
    with pytest.raises(InputError, match=r"y\.tar: b: has no caption"):
        data.captions(1)
    assert "b: has no caption" in data[1]["corrupt"]
    data = ImageText(shard(tmp_path / "z.tar", {"a.jpg": jpeg(), "a.txt": b"\xff\xfe"}), 8)
    with pytest.raises(InputError, match="not UTF-8"):
        data.captions(0)


def test_a_corrupt_image_is_reported(tmp_path: Path):
    data = ImageText(shard(tmp_path / "x.tar", {"k.jpg": b"<html>", "k.txt": "a dog"}), 8)
    assert set(data[0]) == {"sample_key", "corrupt"}
    assert "x.tar: k: is HTML" in data[0]["corrupt"]


def test_template_sets_and_class_name_files(tmp_path: Path):
    assert (len(templates("simple")), len(templates("openai80")), len(set(OPENAI80))) == (7, 80, 80)
    assert set(SIMPLE) <= set(OPENAI80)
    (tmp_path / "mine.txt").write_text("a {} here\n\n{} there\n")
    assert templates(tmp_path / "mine.txt") == ("a {} here", "{} there")
    for wrong in (["no place"], ["{} and {}"]):
        with pytest.raises(InputError, match="exactly one"):
            templates(wrong)
    with pytest.raises(InputError, match="neither a file nor one of"):
        templates("openai81")
    with pytest.raises(InputError, match="holds no templates"):
        templates([])
    (tmp_path / "names.txt").write_text("cat\ndog\n")
    assert read_classnames(tmp_path / "names.txt") == ["cat", "dog"]
    with pytest.raises(InputError, match="no such file"):
        read_classnames(tmp_path / "nowhere")


def test_flickr8k(test_data):
    folder = test_data("flickr8k")
    data = ImageText(f"{folder}/train-{{000..001}}.tar", 64)
    assert len(data) == 6000
    assert all(len(data.captions(i)) == 5 for i in range(0, 6000, 997))
    assert data[5999]["text"] in data.captions(5999)
