"""Labels of every kind go through and come back; too long ones are named; a hundred thousand fit into memory."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from mmcontrast.cli.main import main
from mmcontrast.data.datasets.captions import captions_of, read_captions
from mmcontrast.encoders import TinyText
from tests.color_clip import color_clip

ODD = {
    "emoji": "🐈‍⬛ red 🏳️‍🌈",
    "right to left": "red חתול \u202eقط\u202c",
    "control characters": "red \x07\x1b[31m\x00 bell",
    "combining": "re\u0301d red",
    "quotes and commas": 'a "red", thing; with\ttab',
    "astral": "red 𝔠𝔞𝔱 \U0010ffff",
}


@pytest.fixture
def classify(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Labels and the ending of the output -> exit status and the output's path, on one red image."""
    monkeypatch.setenv("MMCONTRAST_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("mmcontrast.predict.base.load", lambda name: color_clip())
    Image.new("RGB", (20, 10), "red").save(tmp_path / "red.png")

    def run(labels: list[str], ending: str = "csv") -> tuple[int, Path]:
        (tmp_path / "labels.json").write_text(json.dumps(labels), encoding="utf-8")
        out = tmp_path / f"out.{ending}"
        flags = ["--model", "color", "--templates", "none", "--labels-file", str(tmp_path / "labels.json")]
        return main(["predict", "zero-shot", *flags, "--out", str(out), str(tmp_path / "red.png")]), out

    return run


@pytest.mark.parametrize("name", ODD)
def test_odd_labels_make_the_round_trip_as_utf_8(name: str, classify):
    label = ODD[name]
    state, out = classify([label, "blue"])
    assert state == 0
    with out.open(newline="", encoding="utf-8") as file:
        (row,) = csv.DictReader(file)
    assert row["label"] == label
    state, out = classify([label, "blue"], "jsonl")
    assert state == 0
    assert json.loads(out.read_text(encoding="utf-8"))["label"] == label


@pytest.mark.parametrize(
    ("labels", "reason"),
    [
        (["red", ""], "label 2 of 2 is empty"),
        (["red", " \t\u3000 "], "label 2 of 2 is empty"),
        (["red", "word " * 2000], "needs 2000 tokens"),
        (["red", "caf\udce9"], "label 2 of 2 is not UTF-8 text"),
    ],
)
def test_labels_that_cannot_be_read_are_named(labels: list[str], reason: str, classify, capsys):
    assert classify(labels)[0] == 2
    error = capsys.readouterr().err
    assert reason in error
    assert error.count("\n") == 1
    assert len(error) < 400


@pytest.mark.parametrize("text", ["", "   ", "a" * 10_000, *ODD.values()])
def test_any_caption_has_tokens(text: str):
    tokenizer = TinyText(dim=4, vocabulary=64).tokenizer
    tokens = tokenizer([text, "a dog"])
    assert tokens.shape[1] <= tokenizer.context_length
    assert (tokens >= 0).all()


def test_captions_keep_their_odd_separators_and_half_characters_do_no_harm(tmp_path: Path):
    separators = "a\u2028b\x0bc\x85d"
    (tmp_path / "t.csv").write_text(f'path,caption\n1.jpg,{separators}\n2.jpg,"two\nlines"\n', encoding="utf-8")
    names, captions = read_captions(tmp_path / "t.csv")
    assert (names, captions[0], captions[1]) == (["1.jpg", "2.jpg"], [separators], ["two\nlines"])
    (tmp_path / "t.txt").write_text(f"1.jpg#0\t{separators}\n", encoding="utf-8")
    assert read_captions(tmp_path / "t.txt")[1][0] == [separators]
    assert captions_of({"caption": "half \ud83d"}, "x") == ["half ?"]
    coco = {"images": [{"id": 1, "file_name": "1.jpg"}], "annotations": [{"image_id": 1, "caption": "half \ud83d"}]}
    (tmp_path / "t.json").write_text(json.dumps(coco))
    assert read_captions(tmp_path / "t.json")[1][0] == ["half ?"]


MANY = """
import resource, sys, torch
from mmcontrast.predict.zero_shot import ZeroShotClassifier
from tests.color_clip import color_clip
import numpy as np

torch.set_num_threads(1)
labels = [f"red thing number {i}" for i in range(100_000)]
clip, images = color_clip(), np.zeros((4, 8, 8, 3), np.uint8)
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
before = peak()
classify = ZeroShotClassifier(clip, labels, device="cpu", cache=False)
assert classify.logits(images).shape == (4, 100_000)
print((peak() - before) // 1024)
"""


@pytest.mark.slow
def test_a_hundred_thousand_labels_are_a_matter_of_megabytes():
    run = subprocess.run([sys.executable, "-c", MANY], capture_output=True, text=True, check=True)
    print(run.stdout)
    assert int(run.stdout) <= 100
