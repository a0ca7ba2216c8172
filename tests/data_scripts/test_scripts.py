"""Each script lays out a small archive of the real form, and the config line that it prints opens it."""

import hashlib
import io
import json
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from data_scripts import cc3m, cifar10, coco_captions, flickr8k, imagenet_folder
from mmcontrast.data import Images, ImageText
from mmcontrast.data.io.decode import decode


def jpeg(level: int = 100) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (40, 30), (level, 50, 200)).save(file, "JPEG")
    return file.getvalue()


def opened(line: str) -> Images | ImageText:
    """The data set of a printed config line."""
    (entry,) = yaml.safe_load(line).values()
    return {"Images": Images, "ImageText": ImageText}[entry["class_path"]](**entry["init_args"])


def add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(data)
    tar.addfile(member, io.BytesIO(data))


def test_flickr8k(tmp_path: Path, capsys):
    with zipfile.ZipFile(tmp_path / "images.zip", "w") as archive:
        for name in ("a", "b", "c"):
            archive.writestr(f"Flicker8k_Dataset/{name}.jpg", jpeg())
        archive.writestr("__MACOSX/Flicker8k_Dataset/._a.jpg", b"junk")
    with zipfile.ZipFile(tmp_path / "text.zip", "w") as archive:
        archive.writestr(
            "Flickr8k.token.txt", "".join(f"{n}.jpg#{i}\tcaption {i} of {n}\n" for n in "abc" for i in (0, 1))
        )
        for file, names in zip(flickr8k.LISTS, ("a.jpg\n", "b.jpg\n", "c.jpg\n"), strict=True):
            archive.writestr(file, names)
    arguments = [str(tmp_path / "out"), "--images", str(tmp_path / "images.zip"), "--text", str(tmp_path / "text.zip")]
    assert flickr8k.main(arguments) == 0
    train, val = map(opened, capsys.readouterr().out.splitlines())
    assert (train.captions(0), val.captions(0)) == (
        ["caption 0 of a", "caption 1 of a"],
        ["caption 0 of b", "caption 1 of b"],
    )
    assert train[0]["image"].shape == (3, 224, 224)
    assert flickr8k.main([*arguments, "--size", "16"]) == 0
    train, val = map(opened, capsys.readouterr().out.splitlines())
    assert (len(train), train.captions(0), val.captions(0)[0]) == (
        1,
        ["caption 0 of a", "caption 1 of a"],
        "caption 0 of b",
    )
    assert decode(train.samples.read(0, "image")).shape == (16, 16, 3)
    assert abs(train[0]["image"].float().mean((1, 2)) - torch.tensor([100.0, 50.0, 200.0])).max() < 3
    assert flickr8k.main([*arguments, "--size", "0"]) == 2
    assert "--size 0" in capsys.readouterr().err
    assert flickr8k.main([*arguments, "--text-sha256", "0" * 64]) == 2
    assert "wanted 000" in capsys.readouterr().err


def test_coco_captions(tmp_path: Path, capsys, monkeypatch: pytest.MonkeyPatch):
    note = {"images": [{"id": 7, "file_name": "7.jpg"}], "annotations": [{"image_id": 7, "caption": "seven"}]}
    with zipfile.ZipFile(tmp_path / "annotations_trainval2017.zip", "w") as archive:
        archive.writestr("annotations/captions_val2017.json", json.dumps(note))
        archive.writestr("annotations/instances_val2017.json", "{}")
    with zipfile.ZipFile(tmp_path / "val2017.zip", "w") as archive:
        archive.writestr("val2017/7.jpg", jpeg())
    arguments = [str(tmp_path / "out"), "--parts", "val", "--archives", str(tmp_path)]
    assert coco_captions.main(arguments) == 2
    assert "its sha256 is" in capsys.readouterr().err
    for name, (place, _) in list(coco_captions.ARCHIVES.items())[::2]:
        digest = hashlib.sha256((tmp_path / Path(place).name).read_bytes()).hexdigest()
        monkeypatch.setitem(coco_captions.ARCHIVES, name, (place, digest))
    assert coco_captions.main(arguments) == 0
    data = opened(capsys.readouterr().out)
    assert data[0]["text"] == "seven"
    assert not (tmp_path / "out" / "annotations" / "instances_val2017.json").exists()
    assert coco_captions.main([str(tmp_path / "out"), "--parts", "test"]) == 2


def test_cc3m(tmp_path: Path, capsys):
    (tmp_path / "list.tsv").write_text("a dog\thttp://x.org/1.jpg\na cat\thttps://x.org/2.jpg\n")
    assert cc3m.main([str(tmp_path / "out"), "--list", str(tmp_path / "list.tsv")]) == 0
    command, config = capsys.readouterr().out.splitlines()
    assert command.startswith("img2dataset --url_list=")
    assert yaml.safe_load(config)["train"]["init_args"]["root"].endswith("out/00000.tar")
    assert (tmp_path / "out" / "list.tsv").read_text().splitlines()[:2] == ["caption\turl", "a dog\thttp://x.org/1.jpg"]
    (tmp_path / "list.tsv").write_text("no address here\n")
    assert cc3m.main([str(tmp_path / "out"), "--list", str(tmp_path / "list.tsv")]) == 2
    assert "line 1" in capsys.readouterr().err


def test_cifar10_is_bit_exact(tmp_path: Path, capsys):
    images = np.random.default_rng(0).integers(0, 256, (6, 3, 32, 32), dtype=np.uint8)
    with tarfile.open(tmp_path / "cifar.tar.gz", "w:gz") as tar:
        for i in range(6):
            name = f"data_batch_{i + 1}.bin" if i < 5 else "test_batch.bin"
            add(tar, f"cifar-10-batches-bin/{name}", bytes([i]) + images[i].tobytes())
        add(tar, "cifar-10-batches-bin/batches.meta.txt", b"zero\none\ntwo\nthree\nfour\nfive\n\n")
    digest = hashlib.sha256((tmp_path / "cifar.tar.gz").read_bytes()).hexdigest()
    arguments = [str(tmp_path / "out"), "--archive", str(tmp_path / "cifar.tar.gz")]
    assert cifar10.main([*arguments, "--sha256", digest]) == 0
    train, test = map(opened, capsys.readouterr().out.splitlines())
    assert len(train) == 5
    assert train.labels.tolist() == [0, 1, 2, 3, 4]
    assert test.classes[test[0]["label"]] == "five"
    np.testing.assert_array_equal(train[3]["image"], images[3])
    assert cifar10.main(arguments) == 2


def test_imagenet_folders(tmp_path: Path, capsys):
    with tarfile.open(tmp_path / "train.tar", "w") as tar:
        for wnid in ("n01", "n02"):
            inner = io.BytesIO()
            with tarfile.open(fileobj=inner, mode="w") as inner_tar:
                add(inner_tar, f"{wnid}_1.JPEG", jpeg())
            add(tar, f"{wnid}.tar", inner.getvalue())
    with tarfile.open(tmp_path / "val.tar", "w") as tar:
        for i in (1, 2):
            add(tar, f"ILSVRC2012_val_{i}.JPEG", jpeg())
    (tmp_path / "labels.txt").write_text("n02\nn01\n")
    (tmp_path / "names.txt").write_text("n01\ttench\nn02\tgoldfish\n")
    options = ["train.tar", "val.tar", "labels.txt", "names.txt"]
    names = ["--train", "--val", "--val-labels", "--classnames"]
    arguments = [str(tmp_path / "out")]
    for name, value in zip(names, options, strict=True):
        arguments += [name, str(tmp_path / value)]
    assert imagenet_folder.main(arguments) == 2  # not ILSVRC's checksum
    assert imagenet_folder.main([*arguments, "--skip-checksum"]) == 0
    train, val = map(opened, capsys.readouterr().out.splitlines())
    assert train.classes == ["tench", "goldfish"]
    assert [(val.samples.key(i), val.label(i)) for i in range(2)] == [
        ("n01/ILSVRC2012_val_2.JPEG", 0),
        ("n02/ILSVRC2012_val_1.JPEG", 1),
    ]
