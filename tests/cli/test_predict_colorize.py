import csv
import json

import pytest
import torch
from PIL import Image

from mmcontrast.cli.main import main
from mmcontrast.encoders import TinyConv
from mmcontrast.methods import Colorization
from mmcontrast.models.exporting import export


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> str:
    torch.manual_seed(0)
    method = Colorization(TinyConv(dim=8, in_channels=1, image_size=32), predict="ab", width=16).eval()
    return str(export(method, tmp_path_factory.mktemp("model") / "color"))


def test_the_command_line(model, photographs, tmp_path, capsys):
    folder = tmp_path / "photos"
    (folder / "deeper").mkdir(parents=True)
    with Image.open(photographs[0]) as photo:
        photo.convert("L").save(folder / "old.png")
        photo.resize((40, 30)).save(folder / "deeper" / "old.jpg")
    (folder / "broken.jpg").write_bytes(b"no image")
    out = tmp_path / "out"
    assert main(["predict", "colorize", "--model", model, "--out", str(out), str(folder)]) == 1
    said = capsys.readouterr()
    assert json.loads(said.out)["counts"] == {"images": 3, "errors": 1}
    assert "1 of 3 files could not be read" in said.err
    with (out / "colorize.csv").open(newline="") as stream:
        rows = {row["path"]: row for row in csv.DictReader(stream)}
    assert "cannot be decoded" in rows[str(folder / "broken.jpg")]["error"]
    outputs = {row["output"] for row in rows.values()} - {""}
    assert outputs == {str(out / "old.png"), str(out / "old_.png")}
    for file in ("old.png", "deeper/old.jpg"):
        with Image.open(rows[str(folder / file)]["output"]) as colored, Image.open(folder / file) as photo:
            assert colored.size == photo.size


def test_no_file_is_written_over_its_source(model, tmp_path):
    photo = tmp_path / "photo.png"
    Image.new("RGB", (40, 30), (90, 120, 60)).save(photo)
    before = photo.read_bytes()
    assert main(["predict", "colorize", "--model", model, "--out", str(tmp_path), str(photo)]) == 0
    assert photo.read_bytes() == before
    assert (tmp_path / "photo_.png").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--temperature", "0"], "temperature is 0.0; give a finite number above 0"),
        (["--resolution", "0"], "'--resolution'"),
        (["--batch-size", "0"], "'--batch-size'"),
    ],
)
def test_what_cannot_be_used_is_refused(model, photographs, tmp_path, capsys, options, message):
    arguments = ["predict", "colorize", str(photographs[0]), "--model", model, "--out", str(tmp_path / "out")]
    assert main([*arguments, *options]) == 2
    assert message in capsys.readouterr().err


def test_a_missing_file_is_a_row(model, tmp_path, capsys):
    assert main(["predict", "colorize", "nowhere.jpg", "--model", model, "--out", str(tmp_path)]) == 1
    assert "nowhere.jpg,,no such file" in (tmp_path / "colorize.csv").read_text()
