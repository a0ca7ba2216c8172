"""Shards, archives and folders: what is read, what is ignored, what is refused."""

import io
import os
import pickle
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from mmcontrast.data.io import archives
from mmcontrast.data.io.archives import Folder, Tar, Zip, braces, open_stores
from mmcontrast.data.io.samples import Samples
from mmcontrast.errors import InputError

FILES = {"b/2.jpg": b"two", "b/2.txt": b"text", "a/1.png": b"one", "a/1.npy": b"not read", "a/1.JSON": b"{}"}


def tar_of(path: Path, files: Mapping[str, bytes] = FILES, mode: str = "w") -> Path:
    with tarfile.open(path, mode) as tar:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return path


def zip_of(path: Path, method: int) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in FILES.items():
            archive.writestr(name, data)
    return path


def folder_of(path: Path) -> Path:
    for name, data in FILES.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(data)
    return path


MAKERS = {
    "x.tar": tar_of,
    "x.tar.gz": lambda path: tar_of(path, mode="w:gz"),
    "x.tgz": lambda path: tar_of(path, mode="w:gz"),
    "x.tar.xz": lambda path: tar_of(path, mode="w:xz"),
    "stored.zip": lambda path: zip_of(path, zipfile.ZIP_STORED),
    "deflated.zip": lambda path: zip_of(path, zipfile.ZIP_DEFLATED),
    "folder": folder_of,
}


@pytest.mark.parametrize("name", MAKERS)
def test_every_kind_of_store_reads_the_same(name: str, tmp_path: Path):
    samples = pickle.loads(pickle.dumps(Samples(MAKERS[name](tmp_path / name))))  # as a spawned worker gets it
    found = {samples.key(i)[:3]: samples.read(i, "image") for i in range(len(samples))}
    assert found == {"b/2": b"two", "a/1": b"one"}
    index = next(i for i in range(2) if samples.key(i).startswith("b/2"))
    assert samples.text(index, "txt") == "text"
    assert samples.read(index, "cls") is None
    assert samples.text(1 - index, "json") == "{}"
    assert samples.has("json")
    assert not samples.has("cls")
    assert str(tmp_path / name) in samples.name(0)


def test_a_folder_of_shards_and_patterns_are_concatenated(tmp_path: Path):
    for i in range(3):
        tar_of(tmp_path / f"{i:03d}.tar", {f"{i}.jpg": b"x"})
    for root in (tmp_path, f"{tmp_path}/{{000..002}}.tar", f"{tmp_path}/*.tar", sorted(tmp_path.glob("*.tar"))):
        assert [Samples(root).key(i) for i in range(3)] == ["0", "1", "2"]
    assert len(Samples(f"{tmp_path}/{{000,002}}.tar")) == 2


def test_braces():
    assert braces("a{08..11}.tar") == ["a08.tar", "a09.tar", "a10.tar", "a11.tar"]
    assert braces("{a,b}/{0..1}") == ["a/0", "a/1", "b/0", "b/1"]
    assert braces("plain.tar") == ["plain.tar"]
    with pytest.raises(InputError, match="counts down"):
        braces("{3..1}")


def test_webdataset_keys_end_at_the_first_dot_and_jpg_wins(tmp_path: Path):
    path = tar_of(tmp_path / "x.tar", {"k.png": b"mask", "k.jpg": b"image", "k.seg.png": b"other", "k.txt": b"t"})
    samples = Samples(path)
    assert len(samples) == 1
    assert (samples.key(0), samples.read(0, "image")) == ("k", b"image")


def test_folder_keys_end_at_the_last_dot(tmp_path: Path):
    for name in ("photo.2021.jpg", "photo.2022.jpg", "photo.2022.txt", "cat.png", "cat.jpg", ".hidden.jpg"):
        (tmp_path / name).write_bytes(name.encode())
    samples = Samples(tmp_path)
    keys = [samples.key(i) for i in range(len(samples))]
    assert keys == ["cat.jpg", "cat.png", "photo.2021.jpg", "photo.2022.jpg"]
    assert [samples.text(i, "txt") for i in range(4)] == [None, None, None, "photo.2022.txt"]


def hostile(path: Path) -> Path:
    with tarfile.open(path, "w") as tar:
        for name in ("good.jpg", "../up.jpg", "/absolute.jpg", "a/../../b.jpg", "evil.pkl", "evil.pyd"):
            member = tarfile.TarInfo(name)
            member.size = 4
            tar.addfile(member, io.BytesIO(b"data"))
        for kind, name in ((tarfile.SYMTYPE, "s.jpg"), (tarfile.LNKTYPE, "l.jpg"), (tarfile.CHRTYPE, "d.jpg")):
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, "/etc/passwd"
            tar.addfile(member)
    return path


def test_hostile_members_are_ignored_with_a_count(tmp_path: Path):
    with pytest.warns(UserWarning, match="ignored 6 members"):
        store = Tar(hostile(tmp_path / "x.tar"))
    assert store.names == ["good.jpg"]
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr("../up.jpg", b"no")
        archive.writestr("good.jpg", b"data")
    with pytest.warns(UserWarning, match="ignored 1 members"):
        assert Zip(tmp_path / "x.zip").names == ["good.jpg"]
    assert sorted(os.listdir(tmp_path)) == ["x.tar", "x.zip"]


@pytest.mark.parametrize("root", ["pipe:cat x.tar", "https://example.org/{0..3}.tar", "s3://bucket/x.tar"])
def test_commands_and_addresses_are_refused(root: str):
    with pytest.raises(InputError, match="are not read"):
        open_stores(root)


def test_unusable_roots_are_named(tmp_path: Path):
    with pytest.raises(InputError, match=r"nowhere: no such file"):
        Samples(tmp_path / "nowhere")
    with pytest.raises(InputError, match="holds no images"):
        Samples(tmp_path)
    (tmp_path / "x.mp4").write_bytes(b"1")
    with pytest.raises(InputError, match="wanted a folder"):
        Samples(tmp_path / "x.mp4")
    for name in ("x.tar", "x.zip"):
        (tmp_path / name).write_bytes(b"this is neither")
        with pytest.raises(InputError, match=f"{name}: not a complete"):
            Samples(tmp_path / name)


def test_a_cut_shard_is_named(tmp_path: Path):
    whole = tar_of(tmp_path / "whole.tar", {"a.jpg": b"x" * 5000, "b.jpg": b"y" * 5000}).read_bytes()
    (tmp_path / "cut.tar").write_bytes(whole[:9000])
    with pytest.raises(InputError, match=r"cut\.tar"):
        Samples(tmp_path / "cut.tar")


def test_large_compressed_archives_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(archives, "_UNPACKED_AT_MOST", 5)
    with pytest.raises(InputError, match="unpack it to a plain"):
        Tar(tar_of(tmp_path / "x.tar.gz", mode="w:gz"))


def test_the_index_of_a_large_shard_is_kept_until_it_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(archives, "_CACHED_FROM", 0)
    path = tar_of(tmp_path / "x.tar")
    first = Tar(path)
    with monkeypatch.context() as context:
        context.setattr(archives, "_index", lambda _: pytest.fail("the kept index was not used"))
        assert Tar(path).names == first.names
        assert Tar(path).read(0) == b"two"
    tar_of(path, {"new.jpg": b"new"})
    assert Tar(path).names == ["new.jpg"]


def test_listed_files_of_a_folder(tmp_path: Path):
    (tmp_path / "a.jpg").write_bytes(b"a")
    assert Folder(tmp_path, ["a.jpg"]).read(0) == b"a"
