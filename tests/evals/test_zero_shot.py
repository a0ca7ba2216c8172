import json

import pytest
import torch
from PIL import Image

from mmcontrast.cli.main import main
from mmcontrast.data.datasets.images import Images
from mmcontrast.errors import InputError
from mmcontrast.evals.results import confusion_counts
from mmcontrast.evals.zero_shot import zero_shot
from mmcontrast.viz.confusion import draw_confusion
from tests.color_clip import color_clip

RED, GREEN, BLUE, YELLOW = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0)


@pytest.fixture
def folder(tmp_path):
    """Red: 2 of 3 right (one is blue).  Green: 1 sure, 1 tied with red.  Blue: right."""
    images = {"red": [RED, RED, BLUE], "green": [GREEN, YELLOW], "blue": [BLUE]}
    for name, colors in images.items():
        (tmp_path / "data" / name).mkdir(parents=True)
        for i, color in enumerate(colors):
            Image.new("RGB", (9, 9), color).save(tmp_path / "data" / name / f"{i}.png")
    return tmp_path / "data"


def test_accuracy_by_hand(folder):
    result = zero_shot(color_clip(), folder)
    assert (result.counts["num_images"], result.counts["num_unreadable"]) == (6, 0)
    assert result.metrics["per_class"] == pytest.approx({"blue": 1, "green": 0.75, "red": 2 / 3})
    assert result.metrics["top1"] == pytest.approx((2 + 1.5 + 1) / 6)
    assert result.metrics["top5"] == 1.0


def test_a_data_set_and_new_names_for_its_classes(folder, tmp_path):
    images = Images(folder, size=8)
    listed = zero_shot(color_clip(), images, classnames=["red", "blue", "green"], templates=["{}"])
    assert listed.metrics == zero_shot(color_clip(), images, templates=["{}"]).metrics  # names join the folders by name
    file = tmp_path / "names.txt"
    file.write_text("red\tgreen\ngreen\tred\n")
    renamed = zero_shot(color_clip(), folder, classnames=file)
    assert renamed.metrics["per_class"] == pytest.approx({"blue": 1, "red": 0.25, "green": 0})


def test_a_class_without_images_is_none_and_too_few_names_are_refused(folder):
    images = Images(folder, size=8)
    assert zero_shot(color_clip(), images, ["blue", "green", "red", "gray"]).metrics["per_class"]["gray"] is None
    with pytest.raises(InputError, match="the class names fit some class folders"):
        zero_shot(color_clip(), images, ["blue", "green"])


def test_numbers_for_names_are_refused(tmp_path):
    for name in "012":
        (tmp_path / name).mkdir()
        Image.new("RGB", (9, 9), RED).save(tmp_path / name / "a.png")
    with pytest.raises(InputError, match="have numbers and no names"):
        zero_shot(color_clip(), tmp_path)


def test_unreadable_images_do_not_count(folder):
    (folder / "red" / "0.png").write_bytes(b"broken")
    result = zero_shot(color_clip(), folder)
    assert (result.counts["num_images"], result.counts["num_unreadable"]) == (5, 1)
    assert result.metrics["per_class"]["red"] == 0.5
    for file in folder.rglob("*.png"):
        file.write_bytes(b"broken")
    with pytest.raises(InputError, match="none of the 6 images"):
        zero_shot(color_clip(), folder)


def test_a_method_in_training_stays_in_training(folder):
    clip = color_clip().train()
    zero_shot(clip, folder)
    assert clip.training
    assert clip.encoder.training


def test_confusion_counts_and_image(tmp_path):
    counts = confusion_counts(torch.tensor([0, 0, 1, 2]), torch.tensor([0, 1, 1, 0]), 3)
    assert counts.tolist() == [[1, 1, 0], [0, 1, 0], [1, 0, 0]]
    draw_confusion(counts, ["a", "b", "an empty class with a long name"], tmp_path / "deep" / "c.png", "title")
    with Image.open(tmp_path / "deep" / "c.png") as image:
        assert min(image.size) > 400
    draw_confusion(torch.zeros(200, 200, dtype=torch.long), [str(i) for i in range(200)], tmp_path / "d.png", "title")
    assert (tmp_path / "d.png").stat().st_size > 1000


def test_command_prints_json_and_draws(folder, named, tmp_path, capsys):
    clip = named(color_clip())
    out = tmp_path / "out"
    command = ["eval", "zero-shot", "--model", "color", "--data", str(folder), "--out", str(out), "--device", "cpu"]
    assert main(command) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["metrics"]["top1"] == pytest.approx(4.5 / 6)
    assert printed["model"] == "color"
    assert json.loads((out / "metrics.json").read_text()) == printed
    assert (out / "confusion.png").stat().st_size > 1000
    seen = clip.encoder.images_seen
    assert main([*command, "--overwrite"]) == 0
    assert clip.encoder.images_seen == seen  # features were kept
    assert main([*command, "--overwrite", "--no-cache"]) == 0
    assert clip.encoder.images_seen == 2 * seen


def test_command_refuses_bad_data_in_one_sentence(named, tmp_path, capsys):
    named(color_clip())
    assert main(["eval", "zero-shot", "--data", str(tmp_path / "absent")]) == 2
    shown = capsys.readouterr()
    assert "absent" in shown.err
    assert "Traceback" not in shown.err
    assert not shown.out
