"""Class folders in any wrapping become shards with captions that the image-text data set reads."""

import io
import json
import random
import subprocess
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from data_scripts import caltech101, tiny_imagenet
from data_scripts._class_sets import ClassText, captions, read_class_texts, shrink
from mmcontrast.data import ImageText
from mmcontrast.errors import InputError


def jpeg(width: int = 64, height: int = 64) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (width, height), (100, 50, 200)).save(file, "JPEG")
    return file.getvalue()


TINY = {
    "tiny-imagenet-200/train/n02123045/images/n02123045_0.JPEG": jpeg(),
    "tiny-imagenet-200/train/n02123045/images/n02123045_1.JPEG": jpeg(),
    "tiny-imagenet-200/train/n02123045/n02123045_boxes.txt": b"boxes",
    "tiny-imagenet-200/train/n07753592/images/n07753592_0.JPEG": jpeg(),
    "tiny-imagenet-200/val/images/val_0.JPEG": jpeg(),
    "tiny-imagenet-200/wnids.txt": b"n02123045\nn07753592\n",
}
CALTECH = {
    "101_ObjectCategories/pizza/image_0001.jpg": jpeg(300, 200),
    "101_ObjectCategories/pizza/image_0002.jpg": jpeg(),
    "101_ObjectCategories/car_side/image_0001.jpg": jpeg(),
    "101_ObjectCategories/BACKGROUND_Google/image_0001.jpg": jpeg(),
}


def as_folder(files: dict[str, bytes], place: Path) -> Path:
    for name, data in files.items():
        path = place / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return place / next(iter(files)).split("/")[0]


def as_zip(files: dict[str, bytes], place: Path) -> Path:
    with zipfile.ZipFile(place / "set.zip", "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return place / "set.zip"


def as_tar(files: dict[str, bytes], place: Path) -> Path:
    with tarfile.open(place / "set.tar.gz", "w:gz") as tar:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return place / "set.tar.gz"


def as_tar_in_zip(files: dict[str, bytes], place: Path) -> Path:
    inner = as_tar(files, place)
    with zipfile.ZipFile(place / "outer.zip", "w") as archive:
        archive.write(inner, "caltech-101/101_ObjectCategories.tar.gz")
    return place / "outer.zip"


def as_git(files: dict[str, bytes], place: Path) -> Path:
    as_folder(files, place)
    name = ["-c", "user.name=a", "-c", "user.email=a@example.com"]
    for command in (["init", "-q"], ["add", "."], [*name, "commit", "-q", "-m", "images"]):
        subprocess.run(["git", "-C", str(place), *command], check=True)
    return place


def opened(line: str) -> ImageText:
    """The data set of a printed config line."""
    (entry,) = yaml.safe_load(line).values()
    assert entry["class_path"] == "ImageText"
    return ImageText(**entry["init_args"])


@pytest.mark.parametrize("wrap", [as_folder, as_zip, as_tar, as_git])
def test_tiny_imagenet(wrap, tmp_path: Path, capsys):
    (tmp_path / "source").mkdir()
    source = wrap(TINY, tmp_path / "source")
    assert tiny_imagenet.main([str(tmp_path / "out"), "--source", str(source)]) == 0
    data = opened(capsys.readouterr().out)
    assert len(data) == 3  # the training images alone
    cat, banana = "\n".join(data.captions(0)), "\n".join(data.captions(2))
    assert len(data.captions(0)) == 8
    assert "cat" in cat
    assert "banana" in banana
    assert data.captions(0) != data.captions(1)
    assert data[0]["image"].shape == (3, 224, 224)


def test_caltech101(tmp_path: Path, capsys):
    source = as_tar_in_zip(CALTECH, tmp_path)
    (tmp_path / "train.txt").write_text("pizza/image_0001.jpg\ncar_side/image_0001.jpg\n")
    out = tmp_path / "out"
    assert caltech101.main([str(out), "--source", str(source), "--list", str(tmp_path / "train.txt")]) == 0
    with tarfile.open(out / "train-000.tar") as tar:
        names = tar.getnames()
        pizza = Image.open(io.BytesIO(tar.extractfile("pizza-image_0001.jpg").read()))
    assert names == [f"{key}-image_0001.{end}" for key in ("pizza", "car_side") for end in ("jpg", "json")]
    assert pizza.size == (240, 160)
    assert any("automobile" in c or "a car" in c for c in opened(capsys.readouterr().out).captions(1))


def test_same_input_gives_the_same_bytes(tmp_path: Path):
    source = as_zip(TINY, tmp_path)
    shards = [tmp_path / name / "train-000.tar" for name in ("a", "b")]
    for shard in shards:
        assert tiny_imagenet.main([str(shard.parent), "--source", str(source)]) == 0
    assert shards[0].read_bytes() == shards[1].read_bytes()


def test_per_class_limits_each_class(tmp_path: Path, capsys):
    source = as_zip(TINY, tmp_path)
    assert tiny_imagenet.main([str(tmp_path / "out"), "--source", str(source), "--per-class", "1"]) == 0
    assert len(opened(capsys.readouterr().out)) == 2


def test_captions_use_names_and_descriptions():
    text = ClassText(["a tabby", "a cat"], ["a striped pet"])
    drawn = captions(text, 400, random.Random(0))
    assert 0.1 < np.mean([c == "a striped pet" for c in drawn]) < 0.3
    assert any("a tabby, a cat" in c for c in drawn)
    assert {"a tabby", "a cat"} <= set(drawn)
    assert not any("{" in c for c in drawn)


def test_shipped_captions_cover_both_sets_and_name_kinds_only_where_true():
    texts = read_class_texts()
    assert sum(name.startswith(("n0", "n1")) for name in texts) == 200
    assert len(texts) == 301
    named = lambda word: {key for key, text in texts.items() if word in text.names}
    assert named("a frog") == {"n01641577", "n01644900"}
    assert named("a horse") == named("a deer") == set()
    assert named("a truck") == {"n03796401"}
    for key, text in texts.items():
        assert all(text.names) and all(text.descriptions), key  # noqa: PT018
        assert max(len(caption) for caption in [*text.names, *text.descriptions]) < 110


def test_mistakes_are_sentences(tmp_path: Path, capsys):
    def fails(*arguments: str) -> str:
        assert tiny_imagenet.main([str(tmp_path / "out"), *arguments]) == 2
        return capsys.readouterr().err

    assert "no such folder or archive" in fails("--source", str(tmp_path / "absent.zip"))
    assert "no training images" in fails("--source", str(as_zip(CALTECH, tmp_path)))
    (tmp_path / "broken.tar").write_bytes(b"no archive")
    assert "not a complete archive" in fails("--source", str(tmp_path / "broken.tar"))
    (tmp_path / "few.txt").write_text("n02123045 | a cat | a pet\n")
    assert "n07753592" in fails("--source", str(as_zip(TINY, tmp_path)), "--captions", str(tmp_path / "few.txt"))
    (tmp_path / "bad.txt").write_text("n02123045 a cat\n")
    with pytest.raises(InputError, match="line 1"):
        read_class_texts(tmp_path / "bad.txt")


def test_small_images_are_kept_as_they_are():
    data = jpeg(100, 60)
    assert shrink(data, 160) is data


def test_captions_are_json(tmp_path: Path):
    tiny_imagenet.main([str(tmp_path / "out"), "--source", str(as_zip(TINY, tmp_path))])
    with tarfile.open(tmp_path / "out" / "train-000.tar") as tar:
        record = json.loads(tar.extractfile("n02123045_0.json").read())
    assert list(record) == ["captions"]
