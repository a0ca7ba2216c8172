import math
import threading

import numpy as np
import pytest
import torch
from PIL import Image

from mmcontrast.errors import InputError
from mmcontrast.models.loading import load
from mmcontrast.predict.zero_shot import ZeroShotClassifier
from tests.color_clip import color_clip

LABELS = ["red", "green", "blue"]


def solid(*rgb, size=(12, 9)):
    return Image.new("RGB", size, rgb)


@pytest.fixture
def classify():
    return ZeroShotClassifier(color_clip(), LABELS, device="cpu", batch_size=2)


def test_probabilities_are_the_softmax_of_scaled_cosines(classify):
    probabilities = classify.probabilities([solid(255, 0, 0), solid(0, 255, 255)])
    e = math.exp(10)
    half = math.exp(10 / math.sqrt(2))
    expected = torch.tensor([[e, 1, 1], [1, half, half]])
    expected /= expected.sum(1, keepdim=True)
    torch.testing.assert_close(probabilities, expected)
    torch.testing.assert_close(classify.logits(solid(255, 0, 0)), torch.tensor([[10.0, 0, 0]]))


def test_every_kind_of_input_gives_the_same_row(classify, tmp_path):
    image = solid(200, 30, 10)
    array, file = np.asarray(image), tmp_path / "a.png"
    image.save(file)
    tensor = torch.from_numpy(array.copy()).permute(2, 0, 1)
    one = [image, array, tensor, file, str(file), file.read_bytes(), [image], iter([file]), tmp_path]
    many = [np.stack([array] * 2), torch.stack([tensor] * 2), [image, file], (p for p in [array, tensor])]
    expected = classify.probabilities(image)
    for given in one:
        torch.testing.assert_close(classify.probabilities(given), expected)
    for given in many:
        torch.testing.assert_close(classify.probabilities(given), expected.expand(2, -1))
    torch.testing.assert_close(classify.probabilities(tmp_path.iterdir()), expected)


@pytest.mark.parametrize("batch_size", [1, 3, 7, 100])
def test_any_batch_size_keeps_order(batch_size):
    classify = ZeroShotClassifier(color_clip(), LABELS, device="cpu", batch_size=batch_size)
    truth = [i * i % 3 for i in range(7)]
    images = [solid(*(255 * np.eye(3, dtype=int)[c]).tolist()) for c in truth]
    assert classify.logits(images).argmax(1).tolist() == truth
    assert classify.probabilities([]).shape == (0, 3)


def test_top_gives_names_and_scores_best_first(classify):
    (best,) = classify.top(solid(200, 100, 0), k=9)
    assert [guess.label for guess in best] == LABELS
    assert [guess.score for guess in best] == sorted((guess.score for guess in best), reverse=True)
    assert sum(guess.score for guess in best) == pytest.approx(1)


def test_a_mapping_brings_its_own_prompts():
    labels = {"warm": ["red"], "cold": ["green", "blue"]}
    classify = ZeroShotClassifier(color_clip(), labels, device="cpu")
    assert classify.labels == ["warm", "cold"]
    torch.testing.assert_close(classify.vectors, torch.tensor([[1, 0, 0], [0, 0.5**0.5, 0.5**0.5]]))


def test_one_label_competes_with_captions_of_any_image():
    classify = ZeroShotClassifier(color_clip(), ["red"], device="cpu", cache=False)
    red, blue = classify([solid(255, 0, 0), solid(0, 0, 255)])
    assert red.labels == ("red", "none of these")
    assert red.probabilities[0] > 0.99
    assert blue.probabilities[0] < 0.6
    assert ZeroShotClassifier(color_clip(), ["red"], none_of_these=False, cache=False).labels == ["red"]
    assert ZeroShotClassifier(color_clip(), LABELS, none_of_these=True, cache=False).labels == [
        *LABELS,
        "none of these",
    ]
    mapping = ZeroShotClassifier(color_clip(), {"warm": ["red"]}, cache=False)
    assert mapping.labels == ["warm", "none of these"]
    with pytest.raises(InputError, match="'none of these' is given twice"):
        ZeroShotClassifier(color_clip(), ["none of these", "red"], none_of_these=True)


@pytest.mark.parametrize("k", [0, -1])
def test_fewer_than_one_guess_is_refused(classify, k):
    with pytest.raises(InputError, match=f"k is {k}"):
        classify.top(solid(1, 2, 3), k)
    with pytest.raises(InputError, match=f"k is {k}"):
        classify(solid(1, 2, 3))[0].top(k)


def test_a_clip_embeds_strings_and_refuses_what_is_no_image():
    clip = color_clip()
    expected = clip.embed_text(clip.tokenizer(["red", "a green"]))
    assert torch.equal(clip.embed_text(["red", "a green"]), expected)
    assert torch.equal(clip.embed_text("red"), expected[:1])
    for image in (torch.zeros(1, 3, 8, 8, dtype=torch.uint8), "a.jpg", np.zeros((1, 3, 8, 8))):
        with pytest.raises(InputError, match=r"float in \[0, 1\]"):
            load("clip-lite").embed_image(image)


def test_vectors_average_unit_vectors_and_are_normalised_again():
    classify = ZeroShotClassifier(color_clip(), ["red"], templates=["{}", "{} green green green"], device="cpu")
    second = torch.tensor([1.0, 3.0, 0.0]) / math.sqrt(10)
    mean = (torch.tensor([1.0, 0.0, 0.0]) + second) / 2
    torch.testing.assert_close(classify.vectors[0], mean / mean.norm())


def test_an_unreadable_image_is_named(classify, tmp_path):
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"no image")
    with pytest.raises(InputError, match=r"broken\.jpg"):
        classify([solid(0, 0, 0), broken])
    with pytest.raises(InputError, match=r"absent\.jpg: no such file"):
        classify("absent.jpg")
    with pytest.raises(InputError, match="int is no image"):
        classify(3)
    results = list(classify.stream([broken, solid(255, 0, 0), broken, broken, None]))
    assert [result.error is None for result in results] == [False, True, False, False, False]
    assert [result.value is None for result in results] == [True, False, True, True, True]
    assert results[0].item == broken


def test_later_images_are_decoded_while_the_encoder_works(tmp_path):
    files = []
    for i in range(6):
        files.append(tmp_path / f"{i}.png")
        solid(255, 0, 0).save(files[-1])
    model, read, enough = color_clip(), [], threading.Event()

    def feed():
        for file in files:
            read.append(file)
            if len(read) >= 4:
                enough.set()
            yield file

    seen = []
    model.encoder.register_forward_hook(lambda *_: seen.append((enough.wait(10), len(read))))
    assert ZeroShotClassifier(model, LABELS, device="cpu", batch_size=2).logits(feed()).shape == (6, 3)
    assert seen[0][0]
    assert seen[0][1] >= 4  # at least one batch beyond the one being encoded
    assert seen[0][1] <= 6


def test_a_stream_is_read_no_further_than_needed():
    drawn = []

    def endless():
        while True:
            drawn.append(1)
            yield solid(255, 0, 0)

    classify = ZeroShotClassifier(color_clip(), LABELS, device="cpu", batch_size=2)
    stream = classify.stream(endless())
    next(stream)
    stream.close()
    assert len(drawn) <= 6
    assert not [t for t in threading.enumerate() if t.name.startswith("read-ahead") and t.is_alive() and not _ends(t)]


def _ends(thread):
    thread.join(5)
    return not thread.is_alive()


def test_the_model_may_be_a_name(monkeypatch):
    monkeypatch.setattr("mmcontrast.predict.base.load", lambda name: {"color": color_clip()}[name])
    assert ZeroShotClassifier("color", LABELS, device="cpu").top(solid(0, 0, 9), 1)[0][0].label == "blue"


def test_an_encoder_without_text_is_refused(monkeypatch):
    monkeypatch.setattr("mmcontrast.predict.base.load", lambda name: color_clip().encoder)
    with pytest.raises(InputError, match="no text encoder"):
        ZeroShotClassifier("encoder", LABELS)
