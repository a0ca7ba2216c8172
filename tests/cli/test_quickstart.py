import csv

import pytest
from PIL import Image

import mmcontrast.cli.quickstart as quickstart
from mmcontrast.cli.main import main
from mmcontrast.models import bundled, load
from mmcontrast.viz.contact_sheet import draw_contact_sheet
from tests.color_clip import color_clip


def test_every_photograph_is_found():
    assert all(photograph.file() for photograph in quickstart.PHOTOGRAPHS)


def test_a_contact_sheet_of_one_and_of_many(tmp_path):
    image = Image.new("RGB", (40, 30), "teal")
    draw_contact_sheet([image], [[("a label that is far too long for its bar", 0.7)]], tmp_path / "one.png")
    draw_contact_sheet([image] * 5, [[("cat", 0.9), ("dog", 0.1)]] * 5, tmp_path / "deep" / "five.png", "title")
    with Image.open(tmp_path / "one.png") as one, Image.open(tmp_path / "deep" / "five.png") as five:
        assert five.width > 2 * one.width
        assert five.height > one.height


@pytest.fixture
def _color(monkeypatch):
    others = {name: load(name) for name in ("track-lite", "don-lite")}
    monkeypatch.setattr("mmcontrast.predict.base.load", lambda name: others.get(name) or color_clip())
    monkeypatch.setattr(quickstart, "LABELS", ("red", "green", "blue"))


@pytest.mark.usefixtures("_color")
def test_it_prints_a_table_of_80_columns_and_writes_its_files(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["quickstart"]) == 0
    assert not list(tmp_path.iterdir())
    assert main(["quickstart", "--out", "first"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    assert any(line.split()[:1] == ["tower.jpg"] for line in lines)
    tmp_path /= "first"
    with open(tmp_path / "zero_shot.csv", newline="") as stream:
        assert len(list(csv.DictReader(stream))) == len(quickstart.PHOTOGRAPHS)
    assert (tmp_path / "zero_shot.png").stat().st_size > 10_000


@pytest.mark.usefixtures("_color")
def test_missing_photographs_are_skipped(tmp_path, capsys, monkeypatch):
    gone = (quickstart.Photograph("no_such_package", "a.jpg"), quickstart.Photograph("gradio", "no/such/file.jpg"))
    monkeypatch.setattr(quickstart, "PHOTOGRAPHS", (*gone, quickstart.PHOTOGRAPHS[-1]))
    assert main(["quickstart", "--out", str(tmp_path)]) == 0
    assert "1 photographs" in capsys.readouterr().out
    monkeypatch.setattr(quickstart, "PHOTOGRAPHS", gone)
    assert main(["quickstart", "--out", str(tmp_path), "--overwrite"]) == 0
    assert "skipped" in capsys.readouterr().out


@pytest.mark.skipif("clip-lite" not in bundled(), reason="clip-lite is not bundled")
def test_clip_lite_names_the_photographs(tmp_path):
    assert main(["quickstart", "--out", str(tmp_path)]) == 0
    with open(tmp_path / "zero_shot.csv", newline="") as stream:
        labels = {row["path"].rsplit("/", 1)[1]: row["label"] for row in csv.DictReader(stream)}
    right = {
        "cheetah1.jpg": "big cat",
        "lion.jpg": "lion",
        "cheetah.jpg": "big cat",
        "cheetah2.jpg": "big cat",
        "tower.jpg": "tower",
        "china.jpg": "pagoda",
        "flower.jpg": "flower",
    }
    assert sum(labels[name] == label for name, label in right.items() if name in labels) >= 6
    assert labels["flower.jpg"] == "flower"
