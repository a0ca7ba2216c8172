import io
import json
import tarfile

import pytest
from PIL import Image

from mmcontrast.cli.main import main
from mmcontrast.evals.retrieval import embed_captions, retrieval
from tests.color_clip import color_clip


@pytest.fixture
def shard(tmp_path):
    """Red and green find their captions; blue's captions name red and green, so both ways it comes last."""
    samples = {
        "a": ((255, 0, 0), ["red", "a red thing"]),
        "b": ((0, 255, 0), ["green"]),
        "c": ((0, 0, 255), ["red red green", "green green red"]),
    }
    with tarfile.open(tmp_path / "pairs.tar", "w", format=tarfile.USTAR_FORMAT) as tar:
        for key, (color, captions) in samples.items():
            image = io.BytesIO()
            Image.new("RGB", (9, 9), color).save(image, "PNG")
            for name, data in (
                (f"{key}.png", image.getvalue()),
                (f"{key}.json", json.dumps({"captions": captions}).encode()),
            ):
                member = tarfile.TarInfo(name)
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))
    return tmp_path / "pairs.tar"


def test_recall_by_hand(shard):
    result = retrieval(color_clip(), shard, batch_size=2)
    assert result.counts == {"num_images": 3, "num_captions": 5, "num_unreadable": 0, "num_without_caption": 0}
    # Blue is orthogonal to all five captions: its two hide among five ties, 1 - C(3, 1) / C(5, 1) = 0.4 at 1.
    assert result.metrics["i2t_r1"] == pytest.approx((1 + 1 + 0.4) / 3)
    assert result.metrics["i2t_r5"] == 1
    # The captions of blue find red or green first.
    assert result.metrics["t2i_r1"] == pytest.approx(3 / 5)
    assert result.metrics["t2i_r5"] == result.metrics["t2i_r10"] == result.metrics["i2t_r10"] == 1


def test_images_are_embedded_once(shard):
    clip = color_clip().train()
    retrieval(clip, shard)
    assert clip.encoder.images_seen == 3
    assert clip.text_encoder.texts_read == 5
    assert clip.training


def test_captions_keep_their_order_whatever_their_length():
    captions = ["red red red red", "green", "blue blue", "red"] * 100
    found = embed_captions(color_clip(), captions)
    assert found.argmax(1).tolist() == [0, 1, 2, 0] * 100


def test_command_prints_json(shard, named, capsys, tmp_path):
    named(color_clip())
    command = ["eval", "retrieval", "--data", str(shard), "--device", "cpu", "--out", str(tmp_path / "out")]
    assert main(command) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["metrics"]["t2i_r1"] == pytest.approx(0.6)
    assert json.loads((tmp_path / "out" / "metrics.json").read_text()) == printed


def test_command_refuses_a_model_without_text(shard, named, capsys):
    named(color_clip().encoder)
    assert main(["eval", "retrieval", "--data", str(shard), "--model", "timm:x"]) == 2
    assert "has no text tower" in capsys.readouterr().err
