import csv

import numpy as np
import pytest
from PIL import Image

from mmcontrast.cli.main import main
from tests.evals.labeled_images import image_size, write_colors


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_colors(tmp_path_factory.mktemp("colors") / "data", 4, 20, 0)


def rows(file):
    with file.open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_everything_at_once(folder, tmp_path, capsys):
    arguments = ["predict", "features", str(folder), "--model", "random:timm:test_vit", "--resolution", "64"]
    assert main([*arguments, "--show", "all", "--k", "3", "--out", str(tmp_path)]) == 0
    assert "wrote 12 vectors" in capsys.readouterr().err
    for name in ("pca", "attention", "activations", "tsne", "neighbors"):
        assert image_size(tmp_path / f"{name}.png") > 200
    for name in ("pca", "attention", "activations"):
        assert len(list((tmp_path / name).glob("*.png"))) == 12
    assert np.load(tmp_path / "pca.npz")["0000_000"].shape == (4, 4, 3)
    assert np.load(tmp_path / "attention.npz")["0000_000"].shape == (2, 4, 4)
    assert np.load(tmp_path / "activations.npz")["0000_000"].shape == (6, 4, 4)
    saved = np.load(tmp_path / "features.npz")
    assert saved["vectors"].shape == (12, 64)
    assert [row["path"] for row in rows(tmp_path / "features.csv")] == saved["paths"].tolist()
    assert len(rows(tmp_path / "tsne.csv")) == 12
    found = rows(tmp_path / "neighbors.csv")
    assert len(found) == 8 * 3
    unit = saved["vectors"] / np.linalg.norm(saved["vectors"], axis=1, keepdims=True)
    places = {path: i for i, path in enumerate(saved["paths"])}
    for row in found:
        assert row["path"] != row["query"]
        cosine = unit[places[row["query"]]] @ unit[places[row["path"]]]
        assert float(row["cosine"]) == pytest.approx(cosine, abs=1e-5)


def test_neighbors_of_a_image_from_elsewhere(folder, tmp_path):
    query = tmp_path / "query.png"
    Image.new("RGB", (8, 8), (30, 210, 30)).save(query)
    arguments = ["predict", "features", str(folder), "--model", "pixels", "--show", "neighbors"]
    assert main([*arguments, "--query", str(query), "--k", "4", "--out", str(tmp_path)]) == 0
    found = rows(tmp_path / "neighbors.csv")
    assert [row["rank"] for row in found] == ["1", "2", "3", "4"]
    assert all("green" in row["path"] for row in found)


def test_unreadable_files_have_their_reason(folder, tmp_path, capsys):
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no image")
    arguments = ["predict", "features", str(folder / "red"), str(broken), "--model", "pixels", "--show", "pca"]
    assert main([*arguments, "--out", str(tmp_path / "out")]) == 1
    errors = [row["error"] for row in rows(tmp_path / "out" / "features.csv")]
    assert errors[:-1] == [""] * 4
    assert "cannot be decoded" in errors[-1]
    assert "1 of 5 files could not be read" in capsys.readouterr().err
    alone = ["predict", "features", str(broken), "--model", "pixels", "--out", str(tmp_path / "none")]
    assert main(alone) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--show", "gradcam"], "--show gradcam: choose from pca"),
        (["--show", "attention"], "has no attention to show"),
        (["--k", "0"], "--k"),
        (["--resolution", "0"], "--resolution"),
        (["--batch-size", "0"], "--batch-size"),
    ],
)
def test_what_cannot_be_used_is_refused(folder, tmp_path, capsys, options, message):
    arguments = ["predict", "features", str(folder), "--model", "pixels", "--out", str(tmp_path)]
    assert main([*arguments, *options]) == 2
    assert message in capsys.readouterr().err


def test_what_an_encoder_lacks_is_left_out_of_all(folder, tmp_path, capsys):
    arguments = ["predict", "features", str(folder / "red"), "--model", "pixels", "--show", "all"]
    assert main([*arguments, "--out", str(tmp_path)]) == 0
    said = capsys.readouterr().err
    assert "no attention: RawPixels has no attention" in said
    assert "vectors and pca, activations, " in said
    assert (tmp_path / "pca.png").exists()
    assert not (tmp_path / "attention.png").exists()
