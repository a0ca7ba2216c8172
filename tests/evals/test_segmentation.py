import io
import json
import tarfile

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.metrics import jaccard_score
from torch.testing import assert_close

from mmcontrast.cli.main import main
from mmcontrast.data.datasets.pixel_labels import PixelLabels
from mmcontrast.encoders.pixels import RawPixels
from mmcontrast.errors import InputError
from mmcontrast.evals.segmentation import class_fractions, iou_figures, segmentation
from tests.evals.labeled_images import image_size

COLORS = np.array([(40, 40, 200), (40, 200, 40), (200, 40, 40), (120, 120, 120)], np.uint8)  # the last is ignored


def scene(seed):
    """Rectangles in the colors of their classes: (48, 64, 3) and (48, 64)."""
    draw = np.random.default_rng(seed)
    labels = np.zeros((48, 64), np.uint8)
    for label in (1, 2, 3):
        y, x = 4 * draw.integers(0, 8), 4 * draw.integers(0, 10)
        labels[y : y + 16, x : x + 20] = label
    noise = draw.normal(0, 12, (48, 64, 3))
    return (COLORS[labels] + noise).clip(0, 255).astype(np.uint8), labels


def png(array):
    stream = io.BytesIO()
    Image.fromarray(array).save(stream, "png")
    return stream.getvalue()


@pytest.fixture(scope="module")
def shard(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scenes")
    with tarfile.open(folder / "scenes.tar", "w") as tar:
        for seed in range(10):
            image, labels = scene(seed)
            stream = io.BytesIO()
            Image.fromarray(image).save(stream, "jpeg", quality=97)
            for name, data in ((f"{seed:02d}.jpg", stream.getvalue()), (f"{seed:02d}.png", png(labels))):
                member = tarfile.TarInfo(name)
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))
    (folder / "classes.txt").write_text("sky\ntree\ncar\n")
    return folder / "scenes.tar"


def test_iou_as_scikit_learn_counts_it():
    random = torch.Generator().manual_seed(0)
    truth, guess = (torch.randint(0, 4, (500,), generator=random) for _ in range(2))
    counts = torch.bincount(truth * 5 + guess, minlength=25).view(5, 5)
    found = iou_figures(counts, list("abcde"))
    expected = jaccard_score(truth, guess, average=None)
    assert list(found["iou"].values())[:4] == pytest.approx(expected.tolist())
    assert found["iou"]["e"] is None
    assert found["miou"] == pytest.approx(expected.mean())
    assert found["pixel_accuracy"] == pytest.approx((truth == guess).float().mean().item())


def test_iou_by_hand():
    """Class 0: 2 right, 1 taken for class 1.  Class 1: 1 right.  Class 2 is only ever guessed, once for class 1."""
    found = iou_figures(torch.tensor([[2, 1, 0], [0, 1, 1], [0, 0, 0]]), ["a", "b", "c"])
    assert found["iou"] == pytest.approx({"a": 2 / 3, "b": 1 / 3, "c": 0})
    assert found["miou"] == pytest.approx(1 / 3)
    assert found["pixel_accuracy"] == pytest.approx(3 / 5)


def test_class_fractions_of_a_patch():
    labels = torch.tensor([[0, 0, 1, 9], [0, 1, 1, 9]])
    fractions = class_fractions(labels, torch.tensor([9]), 2, (1, 2))
    assert_close(fractions, torch.tensor([[[0.75, 0.25], [0.0, 0.5]]]))


def test_colors_are_told_apart_and_ignored_pixels_count_nowhere(shard):
    encoder = RawPixels(stride=4)
    result = segmentation(encoder, shard, ignored_labels=[3], resolution=48, k=5, num_examples=2)
    figures = result.metrics
    assert (result.counts["num_train"], result.counts["num_test"]) == (7, 3)
    assert list(figures["linear"]["iou"]) == ["sky", "tree", "car"]
    for name in ("linear", "knn"):
        assert figures[name]["miou"] > 0.8
        assert figures[name]["pixel_accuracy"] > 0.9
    assert [list(example.maps) for example in result.examples] == [["truth", "linear", "knn"]] * 2
    assert {-1} < set(np.unique(result.examples[0].maps["linear"])) <= {-1, 0, 1, 2}
    whole = segmentation(encoder, shard, shard, ignored_labels=[3], resolution=48, k=1, temperature=0.01)
    assert (whole.counts["num_train"], whole.counts["num_test"]) == (10, 10)
    assert whole.metrics["knn"]["miou"] > result.metrics["knn"]["miou"] - 0.05


def test_features_are_kept(shard, tmp_path):
    first = segmentation(RawPixels(), shard, ignored_labels=[3], resolution=48, cache=tmp_path)
    kept = {file: file.stat().st_ino for file in tmp_path.rglob("*.npy")}  # a new file would have another
    assert len(kept) == 10
    assert segmentation(RawPixels(), shard, ignored_labels=[3], resolution=48, cache=tmp_path).metrics == first.metrics
    assert {file: file.stat().st_ino for file in tmp_path.rglob("*.npy")} == kept


def test_layouts_of_folders(tmp_path):
    for place, folders in {"apart": ("images", "labels"), "beside": ("all", "all")}.items():
        for folder in folders:
            (tmp_path / place / folder).mkdir(parents=True, exist_ok=True)
        for seed in range(3):
            image, labels = scene(seed)
            Image.fromarray(image).save(tmp_path / place / folders[0] / f"{seed}.jpg", quality=97)
            (tmp_path / place / folders[1] / f"{seed}.png").write_bytes(png(labels))
        data = PixelLabels(tmp_path / place)
        assert len(data) == 3
        assert np.array_equal(data.labels(2), scene(2)[1])
        assert np.abs(data.image(2).astype(int) - scene(2)[0]).mean() < 12
        assert "2.jpg" in data.name(2)


def test_what_cannot_be_used_is_refused(shard, tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "a.jpg")
    with pytest.raises(InputError, match="no image with its classes"):
        PixelLabels(tmp_path)
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    with pytest.raises(InputError, match="has RGB pixels; wanted one class number"):
        PixelLabels(tmp_path).labels(0)
    (tmp_path / "a.png").write_bytes(b"broken")
    with pytest.raises(InputError, match="cannot be read as class numbers"):
        PixelLabels(tmp_path).labels(0)
    with pytest.raises(InputError, match="1 images are too few"):
        segmentation(RawPixels(), tmp_path)
    with pytest.raises(InputError, match="every pixel is ignored"):
        segmentation(RawPixels(), shard, ignored_labels=[0, 1, 2, 3], resolution=16)
    with pytest.raises(InputError, match="k 0"):
        segmentation(RawPixels(), shard, k=0)


def test_command_line(shard, tmp_path, capsys):
    arguments = [
        "eval",
        "segment",
        "--model",
        "pixels",
        "--train-data",
        str(shard),
        "--ignore",
        "3",
        "--out",
        str(tmp_path),
    ]
    assert main([*arguments, "--resolution", "48"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result == json.loads((tmp_path / "metrics.json").read_text())
    assert result["metrics"]["linear"]["miou"] > 0.7
    for name in ("segments.png", "confusion_linear.png", "confusion_knn.png"):
        assert image_size(tmp_path / name) > 300
    assert main([*arguments, "--overwrite", "--resolution", "0"]) == 2
    assert main([*arguments, "--overwrite", "--ignore", "void"]) == 2
