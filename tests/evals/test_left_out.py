"""What evaluations leave out is counted: labels below 0, and images without a caption."""

import json
import tarfile
from io import BytesIO

import pytest
from PIL import Image

from mmcontrast.cli.main import main
from mmcontrast.errors import InputError
from mmcontrast.evals.knn import knn
from mmcontrast.evals.retrieval import retrieval
from mmcontrast.evals.zero_shot import zero_shot
from tests.color_clip import ColorEncoder, color_clip

RED, GREEN = (255, 0, 0), (0, 255, 0)


def write_shard(file, samples):
    """Writes images of one color, each with a member of another suffix or without one."""
    with tarfile.open(file, "w") as tar:
        for number, (color, suffix, text) in enumerate(samples):
            stream = BytesIO()
            Image.new("RGB", (9, 9), color).save(stream, "PNG")
            members = {"png": stream.getvalue()} | ({suffix: text.encode()} if suffix else {})
            for extension, content in members.items():
                member = tarfile.TarInfo(f"{number:03d}.{extension}")
                member.size = len(content)
                tar.addfile(member, BytesIO(content))
    return file


@pytest.fixture
def labeled(tmp_path):
    (tmp_path / "classes.txt").write_text("red\ngreen\n")
    samples = [(GREEN, "cls", "-1"), (RED, "cls", "0"), (GREEN, "cls", "1"), (RED, "cls", "-1"), (RED, "cls", "0")]
    return write_shard(tmp_path / "labeled.tar", samples)


def test_labels_below_0_are_left_out_and_counted(labeled):
    result = zero_shot(color_clip(), labeled)
    assert result.metrics["top1"] == 1
    assert (result.counts["num_images"], result.counts["num_unlabeled"]) == (3, 2)
    assert zero_shot(color_clip(), labeled, limit=2).counts["num_images"] == 2
    neighbors = knn(ColorEncoder(), labeled, labeled, ks=[1])
    assert neighbors.metrics["per_k"]["1"]["top1"] == 1
    assert [neighbors.counts[f"num_{name}"] for name in ("train", "test", "unlabeled")] == [3, 3, 4]


def test_a_set_without_any_label_is_refused(tmp_path):
    (tmp_path / "classes.txt").write_text("red\ngreen\n")
    file = write_shard(tmp_path / "unlabeled.tar", [(RED, "cls", "-1"), (GREEN, "cls", "-1")])
    with pytest.raises(InputError, match="all 2 labels are below 0"):
        knn(ColorEncoder(), file, file)


def test_images_without_a_caption_do_not_end_the_evaluation(tmp_path, named, capsys):
    samples = [(RED, "txt", "red"), (GREEN, None, ""), (GREEN, "txt", "green")]
    file = write_shard(tmp_path / "captions.tar", samples)
    result = retrieval(color_clip(), file)
    assert result.metrics["i2t_r1"] == result.metrics["t2i_r1"] == 1
    assert result.counts["num_images"] == result.counts["num_captions"] == 2
    assert result.counts["num_without_caption"] == 1
    named(color_clip())
    assert main(["eval", "retrieval", "--data", str(file), "--device", "cpu"]) == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out)["counts"]["num_without_caption"] == 1
    assert "left out 1 images without a caption" in printed.err


def test_the_first_image_may_be_the_one_without_a_caption(tmp_path):
    caption = json.dumps({"caption": "red"})
    file = write_shard(tmp_path / "captions.tar", [(GREEN, None, ""), (RED, "json", caption)])
    assert retrieval(color_clip(), file).counts["num_without_caption"] == 1
