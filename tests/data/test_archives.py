"""Shards, archives and folders: what is read, what is ignored, what is refused."""

import io
import os
import pickle
import sys
import tarfile
import threading
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from mmcontrast.data.io import archives
from mmcontrast.data.io.archives import Folder, Tar, Zip, open_stores
from mmcontrast.data.io.folders import braces
from mmcontrast.data.io.random_access import UnreadableMemberError
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


def write_tar(path: Path, members: list[tuple[str, bytes]]) -> Path:
    with tarfile.open(path, "w") as tar:
        for name, data in members:
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return path


def write_zip(path: Path, members: list[tuple[str, bytes]]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return path


@pytest.mark.parametrize("kind", ["tar", "zip"])
def test_threads_read_more_shards_than_stay_open(kind: str, tmp_path: Path):
    write = write_tar if kind == "tar" else write_zip
    for k in range(140):
        write(tmp_path / f"{k:03d}.{kind}", [(f"{i}.png", f"{k} {i} ".encode() * 20) for i in range(2)])
    samples, wrong = Samples(tmp_path), []
    barrier = threading.Barrier(8)

    def read(seed: int) -> None:
        barrier.wait()
        for i in np.random.default_rng(seed).integers(0, 280, 300).tolist():
            try:
                if samples.read(i, "image") != f"{i // 2} {i % 2} ".encode() * 20:
                    wrong.append(i)
            except Exception as error:
                wrong.append(error)

    threads = [threading.Thread(target=read, args=(seed,)) for seed in range(8)]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
    finally:
        sys.setswitchinterval(interval)
    assert wrong == []


def test_a_shard_that_changes_is_never_mixed_with_what_was_there(tmp_path: Path):
    old = Samples(write_tar(tmp_path / "a.tar", [("0.png", b"old")]))
    assert old.read(0, "image") == b"old"
    (tmp_path / "b.tar").write_bytes(write_tar(tmp_path / "new", [("x.cls", b"7"), ("0.png", b"new")]).read_bytes())
    (tmp_path / "b.tar").replace(tmp_path / "a.tar")
    assert Samples(tmp_path / "a.tar").read(0, "image") == b"new"
    assert old.read(0, "image") == b"old"


@pytest.mark.parametrize("second", ["0.png", "0.PNG", "a/../0.txt", "0.txt"])
@pytest.mark.parametrize("write", [write_tar, write_zip])
@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.filterwarnings("ignore:.*ignored 1 members")
def test_a_key_that_comes_twice_is_refused(second: str, write, tmp_path: Path):
    path = write(tmp_path / "twice", [("0.png", b"1"), ("0.txt", b"one"), ("1.png", b"2"), (second, b"3")])
    path = path.rename(tmp_path / ("twice.zip" if write is write_zip else "twice.tar"))
    if ".." in second:
        assert len(Samples(path)) == 2
    else:
        with pytest.raises(InputError, match=r"twice\.(tar|zip): holds the key '0' twice"):
            Samples(path)


@pytest.mark.parametrize(
    ("names", "keys"),
    [
        (["cat.0.png", "cat.0.txt", "cat.1.png"], {"cat.0": "cat.0.png", "cat.1": "cat.1.png"}),
        (["0.input.jpg", "0.txt", "1.input.jpg"], {"0": "0.input.jpg", "1": "1.input.jpg"}),
        (["0.jpg", "0.mask.png", "0.seg.png"], {"0": "0.jpg"}),
        (["IMG.2020.01.jpg", "./._IMG.2020.01.jpg", "__MACOSX/a.jpg"], {"IMG.2020.01": "IMG.2020.01.jpg"}),
    ],
)
def test_dots_in_the_names_of_a_shard(names: list[str], keys: dict[str, str], tmp_path: Path):
    samples = Samples(write_tar(tmp_path / "x.tar", [(name, name.encode()) for name in names]))
    assert {samples.key(i): samples.read(i, "image").decode() for i in range(len(samples))} == keys
    if "txt" in str(names):
        assert samples.text(0, "txt") is not None


def test_two_inputs_of_one_key_are_refused(tmp_path: Path):
    path = write_tar(tmp_path / "x.tar", [("0.before.jpg", b"1"), ("0.after.jpg", b"2")])
    with pytest.raises(InputError, match=r"sample 0 has 2 images \(before.jpg, after.jpg\)"):
        Samples(path)


@pytest.mark.parametrize("position", [0.3, 0.6])
def test_damaged_zip_members_are_named(position: float, tmp_path: Path):
    data = np.random.default_rng(0).integers(0, 256, 500, dtype=np.uint8).tobytes()
    path = write_zip(tmp_path / "x.zip", [("0.png", data)])
    damaged = bytearray(path.read_bytes())
    damaged[int(len(damaged) * position)] ^= 0xFF
    path.write_bytes(bytes(damaged))
    with pytest.raises(UnreadableMemberError, match=r"x\.zip: 0\.png: is damaged"):
        Samples(path).read(0, "image")


def test_dangling_links_and_pipes_are_unreadable_members(tmp_path: Path):
    (tmp_path / "a.png").symlink_to("nowhere")
    os.mkfifo(tmp_path / "b.png")
    samples = Samples(tmp_path)
    for index, reason in ((0, "is a link to a missing file"), (1, "named pipe")):
        with pytest.raises(UnreadableMemberError, match=reason):
            samples.read(index, "image")
    with pytest.raises(InputError, match="named pipe"):
        Samples(tmp_path / "b.png")


def test_names_that_are_not_utf_8(tmp_path: Path):
    (tmp_path / os.fsdecode(b"caf\xe9.png")).write_bytes(b"x")
    samples = Samples(tmp_path)
    assert samples.key(0) == os.fsdecode(b"caf\xe9.png")
    assert samples.read(0, "image") == b"x"
