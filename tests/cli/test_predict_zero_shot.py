import csv
import json

import pytest
from PIL import Image

from mmcontrast.cli.main import main
from mmcontrast.cli.prediction_table import Row, open_table
from tests.color_clip import color_clip


@pytest.fixture(autouse=True)
def _model(monkeypatch):
    monkeypatch.setattr("mmcontrast.predict.base.load", lambda name: color_clip())


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "photos"
    (folder / "deep" / "er").mkdir(parents=True)
    for name, color in {"b.png": "red", "a.JPG": "lime", "deep/er/c.webp": "blue", ".hidden.png": "red"}.items():
        Image.new("RGB", (20, 10), color).save(folder / name)
    (folder / "notes.txt").write_text("no image")
    return folder


def run(*arguments):
    return main(["predict", "zero-shot", "--model", "color", "--device", "cpu", *map(str, arguments)])


def rows(file):
    with open(file, newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def test_one_row_per_file_in_order(folder, tmp_path):
    out = tmp_path / "new" / "out.csv"
    assert run("--labels", "red, green,blue", "--out", out, folder, folder / "b.png", "--batch-size", 2) == 0
    found = rows(out)
    assert out.read_text().startswith("path,label,score,error\n")
    assert [row["path"] for row in found] == [str(folder / name) for name in ("a.JPG", "b.png", "deep/er/c.webp")]
    assert [row["label"] for row in found] == ["green", "red", "blue"]
    assert all(0.99 < float(row["score"]) <= 1 and row["error"] == "" for row in found)


def test_unreadable_files_become_error_rows_and_exit_1(folder, tmp_path, capsys):
    (folder / "deep" / "broken.jpg").write_bytes(b"\xff\xd8\xff broken")
    out = tmp_path / "out.csv"
    assert run("--labels", "red,green", "--out", out, folder, folder / "notes.txt", folder / "absent.png") == 1
    found = {row["path"].removeprefix(f"{folder}/"): row for row in rows(out)}
    assert len(found) == 6
    for name in ("deep/broken.jpg", "notes.txt", "absent.png"):
        assert found[name]["error"]
        assert not found[name]["error"].startswith(str(folder))
        assert found[name]["label"] == found[name]["score"] == ""
    assert found["b.png"]["label"] == "red"
    assert "3 of 6 files could not be read" in capsys.readouterr().err


def test_top_and_all_scores_add_columns(folder, tmp_path):
    out = tmp_path / "out.csv"
    (folder / "broken.png").write_bytes(b"broken")
    assert run("--labels", "red,green,blue", "--top", 2, "--all-scores", "--out", out, folder) == 1
    header = "path,label,score,error,label_2,score_2,score:red,score:green,score:blue"
    lines = out.read_text().splitlines()
    assert lines[0] == header
    assert all(line.count(",") >= header.count(",") for line in lines)
    good = next(row for row in rows(out) if row["path"].endswith("b.png"))
    assert float(good["score:red"]) == float(good["score"])
    assert sum(float(good[f"score:{label}"]) for label in ("red", "green", "blue")) == pytest.approx(1, abs=1e-4)


def test_jsonl(folder, tmp_path):
    out = tmp_path / "out.jsonl"
    assert run("--labels", "red,grün", "--top", 2, "--all-scores", "--out", out, folder, "absent.png") == 1
    records = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    assert records[1]["label"] == "red"
    assert records[1]["error"] is None
    assert [entry["label"] for entry in records[1]["top"]] == ["red", "grün"]
    assert set(records[1]["scores"]) == {"red", "grün"}
    assert records[3] == {
        "path": "absent.png",
        "label": None,
        "score": None,
        "error": "no such file",
        "top": [],
        "scores": {},
    }


def test_names_with_commas_quotes_newlines_and_bytes_beyond_utf8(tmp_path):
    odd = tmp_path / 'a, "quoted"\nname.png'
    Image.new("RGB", (8, 8), "red").save(odd)
    raw = tmp_path.as_posix().encode() + b"/caf\xe9.png"
    with open(raw, "wb") as stream:
        Image.new("RGB", (8, 8), "blue").save(stream, "PNG")
    out = tmp_path / "out.csv"
    assert run("--labels", "red,blue", "--out", out, tmp_path) == 0
    found = {row["path"]: row["label"] for row in rows(out)}
    assert found == {str(odd): "red", f"{tmp_path}/caf\\udce9.png": "blue"}


def test_table_fits_the_terminal(folder, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    assert run("--labels", "red,green,blue", "--all-scores", folder) == 0
    lines = capsys.readouterr().err.splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[0].split() == ["path", "label", "(score)"]
    assert "red (1.000)" in "\n".join(lines)


def test_table_counts_columns_of_emoji(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    with open_table(None, [], 1) as sink:
        for path in ("a.png", "\N{CAT}" * 4 + "e\u0301.png", "\N{CAT}" * 40):
            sink(Row(path, [("cat", 1)]))
    _, *lines = capsys.readouterr().err.splitlines()
    before = [line[: line.index("cat (")] for line in lines]
    assert [len(text) + text.count("\N{CAT}") - text.count("\u0301") for text in before] == [40, 40, 40]
    assert before[2].startswith("…\N{CAT}")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--labels", "cat,,dog"], "label 2 of 3 is empty"),
        (["--labels", "cat,dog,cat"], "'cat' is given twice"),
        (["--labels", "cat", "--top", "0"], "--top"),
        (["--labels", "cat", "--batch-size", "0"], "--batch-size"),
        (["--labels", "cat", "--out", "out.txt"], r"must end in .csv or .jsonl"),
        (["--labels", "cat", "--templates", "absent.txt"], "absent.txt"),
        (["--labels-file", "absent.txt"], "absent.txt"),
        (["--labels", "a b c d e f g h i j k l m"], "'a b c d e f g h i j k l m' needs"),
        (["--labels", "cat", "--device", "quantum"], "no such kind of device"),
    ],
)
def test_bad_arguments_exit_2_with_a_sentence(folder, arguments, message, capsys):
    assert run(*arguments, folder) == 2
    shown = capsys.readouterr()
    assert message in shown.err
    assert shown.err.count("\n") == 1
    assert not shown.out


def test_a_folder_without_images_is_refused(tmp_path, capsys):
    assert run("--labels", "cat", tmp_path) == 2
    assert f"no images in {tmp_path}" in capsys.readouterr().err


def test_labels_from_files(folder, tmp_path, capsys):
    out = tmp_path / "out.csv"
    text = tmp_path / "labels.txt"
    text.write_text("\ufeffred\ngreen thing, really\n\n", encoding="utf-8")
    assert run("--labels-file", text, "--out", out, folder / "b.png") == 0
    assert rows(out)[0]["label"] == "red"
    prompts = tmp_path / "labels.json"
    prompts.write_text(json.dumps({"warm": ["red", "a red thing"], "cold": ["blue"]}))
    assert run("--labels-file", prompts, "--out", out, folder / "b.png") == 2
    assert "--overwrite" in capsys.readouterr().err
    assert run("--labels-file", prompts, "--out", out, "--overwrite", folder / "b.png") == 0
    assert rows(out)[0]["label"] == "warm"


@pytest.mark.parametrize(
    ("content", "message"),
    [("[1, 2]", "wanted a list of strings"), ("{", "no valid JSON"), ('{"a": 1}', "'a' needs a list")],
)
def test_malformed_label_files_are_refused(folder, tmp_path, content, message, capsys):
    file = tmp_path / "labels.json"
    file.write_text(content)
    assert run("--labels-file", file, folder) == 2
    assert message in capsys.readouterr().err


def test_an_output_that_cannot_be_written_is_refused(folder, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert run("--labels", "red", "--out", tmp_path / "file" / "out.csv", folder) == 2
    assert "cannot be written" in capsys.readouterr().err
