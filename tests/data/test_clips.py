import io
import tarfile

import numpy as np
import pytest
import torch
from PIL import Image

from mmcontrast.data.datasets.clips import ClipAugment, Clips
from mmcontrast.data.datasets.moving_crops import MovingCrops
from mmcontrast.data.io.video_writer import VideoWriter
from mmcontrast.data.sampler import SampleKey
from mmcontrast.errors import InputError


def numbered(count: int, height: int = 48, width: int = 64) -> list[np.ndarray]:
    """Frames whose gray value tells their number: 10 t."""
    return [np.full((height, width, 3), 10 * t, np.uint8) for t in range(count)]


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    """A folder with a video file and a frame folder, and a tar with a frame folder."""
    root = tmp_path_factory.mktemp("videos")
    with VideoWriter(root / "video.mp4", fps=10, quality=1) as writer:
        for frame in numbered(20):
            writer.write(frame)
    (root / "frames").mkdir()
    for t, frame in enumerate(numbered(20)):
        Image.fromarray(frame).save(root / "frames" / f"{t:05d}.png")
    with tarfile.open(root / "shard.tar", "w") as tar:
        for t, frame in enumerate(numbered(20)):
            data = io.BytesIO()
            Image.fromarray(frame).save(data, "PNG")
            member = tarfile.TarInfo(f"one.video/{t:05d}.png")
            member.size = len(data.getvalue())
            data.seek(0)
            tar.addfile(member, data)
    return root


def numbers(sample) -> list[int]:
    return (sample["clip"].float().mean((1, 2, 3)) / 10).round().int().tolist()


@pytest.mark.parametrize("name", ["video.mp4", "frames", "shard.tar"])
def test_every_source_gives_frames_at_the_wanted_distance(videos, name):
    clips = Clips(videos / name, frames=4, size=32, gap=(0.3, 0.3), fps=10, backward=0, per_video=5)
    assert len(clips) == 5
    for i in range(5):
        sample = clips[i]
        assert sample["clip"].shape == (4, 3, 32, 32)
        assert sample["clip"].dtype == torch.uint8
        assert np.diff(numbers(sample)).tolist() == [3, 3, 3]
        assert name in clips.name(i)


def test_samples_are_functions_of_their_key(videos):
    clips = Clips([videos / "video.mp4", videos / "frames"], frames=3, size=24, gap=(0.1, 0.5), fps=10)
    one, again, other = clips[SampleKey(1, 4, 2)], clips[SampleKey(1, 4, 2)], clips[SampleKey(1, 5, 2)]
    assert torch.equal(one["clip"], again["clip"])
    assert one["sample_key"] == again["sample_key"] != other["sample_key"]
    seen = [numbers(clips[SampleKey(1, epoch)]) for epoch in range(12)]
    assert any(n[0] > n[-1] for n in seen)
    assert any(n[0] < n[-1] for n in seen)
    assert len({tuple(n) for n in seen}) > 5


def test_short_videos_give_neighbors(videos):
    clips = Clips(videos / "frames", frames=4, size=16, gap=(5.0, 9.0), fps=10, backward=0)
    assert numbers(clips[0]) == [0, 6, 13, 19]
    dense = Clips(videos / "frames", frames=4, size=16, gap=(0.001, 0.001), fps=10, backward=0)
    assert np.diff(numbers(dense[0])).tolist() == [1, 1, 1]


def test_a_folder_is_searched_and_a_list_is_read(videos, tmp_path):
    names = sorted(Clips(videos, frames=2).name(i).split("/")[-1] for i in range(2))
    assert "video.mp4" in names
    (tmp_path / "list.txt").write_text(f"{videos}/video.mp4\n{videos}/shard.tar\n")
    assert len(Clips(tmp_path / "list.txt", frames=2)) == 2
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no videos"):
        Clips(tmp_path / "empty")
    with pytest.raises(InputError, match="T >= 2"):
        Clips(videos, frames=1)


def test_a_broken_video_is_reported_not_raised(tmp_path):
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    sample = Clips(tmp_path / "broken.mp4")[3 - 3]
    assert "broken.mp4" in sample["corrupt"]
    assert "clip" not in sample


def test_augmentation_is_alike_in_all_frames_and_keyed():
    clip = torch.randint(0, 256, (1, 1, 3, 8, 8), dtype=torch.uint8).expand(6, 4, -1, -1, -1)
    batch = {"clip": clip, "sample_key": torch.arange(6)}
    out = ClipAugment()(batch)["clip"]
    assert out.min() >= 0
    assert out.max() <= 1
    assert all(torch.equal(out[:, 0], out[:, t]) for t in range(4))
    assert len({round(float(o.mean()), 5) for o in out}) == 6
    alone = ClipAugment()({"clip": clip[2:3], "sample_key": torch.tensor([2])})["clip"]
    assert torch.allclose(alone[0], out[2])
    plain = ClipAugment(flip=0, jitter=0)(batch)["clip"]
    assert torch.equal((plain * 255).round().to(torch.uint8), clip)


def test_moving_crops_move_smoothly(photographs):
    crops = MovingCrops(photographs[0].parent, frames=4, size=64)
    one, again = crops[SampleKey(0, 3)], crops[SampleKey(0, 3)]
    assert torch.equal(one["clip"], again["clip"])
    assert one["clip"].shape == (4, 3, 64, 64)
    far, near = [], []
    for epoch in range(6):
        clip = crops[SampleKey(0, epoch)]["clip"].float()
        near.append((clip[1] - clip[0]).abs().mean())
        far.append((clip[3] - clip[0]).abs().mean())
    assert min(near) > 0.5
    assert sum(near) < sum(far)


def test_still_crops_stay(photographs):
    crops = MovingCrops(photographs[0].parent, frames=3, size=48, shift=0, angle=0, zoom=1, bend=0, light=0)
    clip = crops[0]["clip"].int()
    assert (clip[2] - clip[0]).abs().max() <= 1


@pytest.mark.parametrize("kind", ["folder", "tar"])
def test_frames_are_in_the_order_of_their_numbers_and_hidden_files_are_none(tmp_path, kind):
    folder = tmp_path / "frames" / "a"
    folder.mkdir(parents=True)
    for n in range(1, 13):
        Image.fromarray(np.full((16, 16, 3), 10 * n, np.uint8)).save(folder / f"{n}.png")
        (folder / f"._{n}.png").write_bytes(b"\0\5\x16\7")
    root = tmp_path / "frames"
    if kind == "tar":
        root = tmp_path / "frames.tar"
        with tarfile.open(root, "w") as tar:
            tar.add(folder, "a")
    clips = Clips(root, frames=4, size=16, gap=(0.04, 0.04), backward=0)
    for epoch in range(8):
        values = clips[SampleKey(0, epoch)]["clip"].float().mean((1, 2, 3)) / 10
        assert np.diff(values.numpy()).round(2).tolist() == [1, 1, 1]
