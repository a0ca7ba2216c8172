"""Images with labels from folders and shards, and class names from wherever they stand."""

import io
import json
import tarfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader

from mmcontrast.data import Collate, Images, KeyedSampler
from mmcontrast.data.sampler import SampleKey
from mmcontrast.errors import InputError


def png(level: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (12, 8), (level, 0, 0)).save(file, "PNG")
    return file.getvalue()


def folder(root: Path, files: Mapping[str, bytes]) -> Path:
    for name, data in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    return root


def shard(path: Path, files: Mapping[str, bytes]) -> Path:
    with tarfile.open(path, "w") as tar:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return path


def test_class_folders(tmp_path: Path):
    root = folder(tmp_path, {"dog/deep/1.png": png(1), "cat/2.png": png(2), "dog/3.png": png(3)})
    data = Images(root, 8)
    assert data.classes == ["cat", "dog"]
    assert data.labels.tolist() == [0, 1, 1]
    sample = data[0]
    assert sample["image"].shape == (3, 8, 8)
    assert sample["image"].dtype == torch.uint8
    assert sample["image"][:, 0, 0].tolist() == [2, 0, 0]
    assert (sample["label"], sample["sample_key"]) == (0, SampleKey(0).to_int())


def test_the_first_level_that_differs_gives_the_classes(tmp_path: Path):
    files = {"set/train/dog/1.png": png(1), "set/train/cat/2.png": png(2)}
    assert Images(folder(tmp_path / "a", files), 8).classes == ["cat", "dog"]
    assert Images(shard(tmp_path / "x.tar", files), 8).classes == ["cat", "dog"]


def test_a_flat_folder_has_no_labels(tmp_path: Path):
    data = Images(folder(tmp_path, {"1.png": png(1), "2.png": png(2)}), 8)
    assert set(data[1]) == {"image", "sample_key"}
    assert data.classes == []
    with pytest.raises(InputError, match="has no labels"):
        _ = data.labels


def test_folders_are_renamed_by_a_table_beside_them(tmp_path: Path):
    root = folder(tmp_path, {"n02/1.png": png(1), "n01/1.png": png(1), "classes.txt": b"n01\ttench\nn02\tgoldfish\n"})
    assert Images(root, 8).classes == ["tench", "goldfish"]
    with pytest.warns(UserWarning, match="by position"):
        assert Images(root, 8, classnames=["a", "b"]).classes == ["a", "b"]
    with pytest.raises(InputError, match="3 class names for 2 class folders"):
        _ = Images(root, 8, classnames=["a", "b", "c"]).classes


def test_numbered_folders_get_the_names_with_their_numbers(tmp_path: Path):
    files = {f"{number}/a.png": png(number) for number in range(12)}
    names = [f"name {number}" for number in range(12)]
    for root in (folder(tmp_path / "a", files), shard(tmp_path / "b.tar", files)):
        data = Images(root, 8, classnames=names)
        assert data.classes == names
        assert {data.samples.key(i).split("/")[0]: data.label(i) for i in range(12)} == {str(n): n for n in range(12)}
    some = folder(tmp_path / "c", {"3/a.png": png(1), "11/a.png": png(2)})
    assert Images(some, 8, classnames=names).classes == ["name 3", "name 11"]
    with pytest.raises(InputError, match="there is a class folder 11"):
        _ = Images(some, 8, classnames=names[:5]).classes


def test_a_list_of_names_is_matched_to_the_folders_by_name(tmp_path: Path):
    files = {f"{name}/a.png": png(1) for name in ("cat", "dog", "sea_lion")}
    root = folder(tmp_path / "a", files)
    assert Images(root, 8, classnames=["Sea Lion", "dog", "cat"]).classes == ["cat", "dog", "Sea Lion"]
    with pytest.raises(InputError, match="4 class names for 3 class folders"):
        _ = Images(root, 8, classnames=["sea_lion", "emu", "dog", "cat"]).classes
    with pytest.raises(InputError, match="fit some class folders"):
        _ = Images(root, 8, classnames=["cat", "hound", "otter"]).classes
    (tmp_path / "other.txt").write_text("x\tX\ny\tY\n")
    with pytest.raises(InputError, match="is among the names by folder"):
        _ = Images(root, 8, classnames=tmp_path / "other.txt").classes
    ids = folder(tmp_path / "ids", {"n01443537/a.png": png(1), "n01440764/a.png": png(2)})
    (tmp_path / "ids.txt").write_text("n01440764 tench\nn01443537 goldfish, Carassius\n")
    assert Images(ids, 8, classnames=tmp_path / "ids.txt").classes == ["tench", "goldfish, Carassius"]


def test_splits_are_not_classes(tmp_path: Path):
    root = folder(tmp_path, {"train/cat/1.png": png(1), "train/dog/1.png": png(1), "val/cat/2.png": png(2)})
    with pytest.raises(InputError, match="holds the splits train, val"):
        _ = Images(root, 8).classes
    assert Images(root / "train", 8).classes == ["cat", "dog"]


def test_one_class_folder_and_a_stray_image(tmp_path: Path):
    assert Images(folder(tmp_path / "one", {"cat/1.png": png(1), "cat/2.png": png(2)}), 8).classes == ["cat"]
    files = {f"{name}/{n}.png": png(n) for name in ("cat", "dog") for n in range(10)}
    data = Images(folder(tmp_path / "stray", {**files, "stray.png": png(5)}), 8)
    assert data.classes == ["cat", "dog"]
    assert sorted(set(data.labels.tolist())) == [-1, 0, 1]
    assert (data.labels == -1).sum() == 1


def test_labels_in_shards(tmp_path: Path):
    numbers = {"a.png": png(1), "a.cls": b"2\n", "b.png": png(2), "b.cls": b"0"}
    data = Images(shard(tmp_path / "numbers.tar", numbers), 8)
    assert data.labels.tolist() == [2, 0]
    assert data.classes == ["0", "1", "2"]
    (tmp_path / "classes.txt").write_text("x\ny\nz\n")
    assert Images(tmp_path / "numbers.tar", 8).classes == ["x", "y", "z"]
    (tmp_path / "classes.txt").unlink()
    names = {"a.png": png(1), "a.cls": b"owl", "b.png": png(2), "b.cls": b"ant"}
    data = Images(shard(tmp_path / "names.tar", names), 8)
    assert (data.classes, data.labels.tolist()) == (["ant", "owl"], [1, 0])
    with pytest.raises(InputError, match="'owl' is not among"):
        Images(tmp_path / "names.tar", 8, classnames=["ant"]).label(0)
    records = {"a.png": png(1), "a.json": json.dumps({"label": True}).encode()}
    assert Images(shard(tmp_path / "json.tar", records), 8)[0]["label"] == 1
    records["a.json"] = b"{"
    with pytest.raises(InputError, match="is not JSON"):
        Images(shard(tmp_path / "bad.tar", records), 8)


def test_a_missing_label_is_named(tmp_path: Path):
    data = Images(shard(tmp_path / "x.tar", {"a.png": png(1), "a.cls": b"1", "b.png": png(2)}), 8)
    with pytest.raises(InputError, match=r"x\.tar: b: has no label"):
        data.label(1)


def test_a_corrupt_image_is_reported_not_replaced(tmp_path: Path):
    data = Images(folder(tmp_path, {"a/1.png": png(1)[:50], "b/2.png": b""}), 8)
    assert set(data[0]) == {"sample_key", "corrupt"}
    assert "a/1.png" in data[0]["corrupt"]
    assert "is empty" in data[1]["corrupt"]


def test_random_regions_follow_the_key(photographs: list[Path]):
    data = Images(photographs[0].parent, 16, fit="random", scale=(0.1, 0.5))
    first = data[SampleKey(0, 3, 7)]["image"]
    assert torch.equal(first, data[SampleKey(0, 3, 7)]["image"])
    assert not torch.equal(first, data[SampleKey(0, 4, 7)]["image"])


def test_workers_read_what_the_main_process_reads(tmp_path: Path):
    files = {f"{i:02d}.{kind}": data for i in range(20) for kind, data in (("png", png(i)), ("cls", str(i).encode()))}
    data = Images(shard(tmp_path / "x.tar", files), 8)
    batches = []
    for workers in (0, 2):
        loader = DataLoader(data, 5, sampler=KeyedSampler(data, seed=1), num_workers=workers, collate_fn=Collate())
        batches.append(list(loader))
    for ours, theirs in zip(*batches, strict=True):
        assert torch.equal(ours["image"], theirs["image"])
        assert ours["label"].tolist() == ours["image"][:, 0, 0, 0].tolist()
        assert torch.equal(ours["sample_key"], theirs["sample_key"])


@pytest.mark.parametrize("options", [{"fit": "stretch"}, {"size": 0}, {"scale": (0.0, 1.0)}])
def test_impossible_options_are_refused(tmp_path: Path, options: dict[str, object]):
    with pytest.raises(InputError, match=r"fit is|size is|scale is"):
        Images(folder(tmp_path, {"1.png": png(1)}), **options)


def test_cifar10(test_data):
    data = Images(test_data("cifar10") / "test.tar.gz", 32)
    assert data.classes[0] == "airplane"
    assert np.bincount(data.labels).tolist() == [500] * 10
    assert data[3]["image"].shape == (3, 32, 32)
