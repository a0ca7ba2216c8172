import os

import numpy as np
import pytest
import torch

from mmcontrast.errors import InputError
from mmcontrast.inference.cache import cache_directory, content_key, fingerprint, load_array, save_array
from mmcontrast.inference.prompts import PromptSet, embed_prompts
from tests.color_clip import color_clip


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([], "no labels"),
        (["cat", " "], "label 2 of 2 is empty"),
        (["cat", "dog", "cat"], "'cat' is given twice, as label 1 and label 3"),
        (["cat", "cat "], "given twice"),
        ("cat,dog", r"one string; give a list of labels, such as \['cat', 'dog'\]"),
        ({"cat": []}, "'cat' needs a list"),
        ({"cat": "a cat"}, "'cat' needs a list"),
        ({"cat": ["a cat", ""]}, "'cat' needs a list"),
    ],
)
def test_unusable_labels_are_refused_with_a_reason(labels, message):
    with pytest.raises(InputError, match=message):
        PromptSet(labels)


def test_template_sets_sizes_and_own_templates(tmp_path):
    assert len(list(PromptSet(["cat"]))) == 7
    assert len(list(PromptSet(["cat"], "openai80"))) == 80
    file = tmp_path / "own.txt"
    file.write_text("a {} here.\n\nthe {}.\n")
    assert list(PromptSet(["cat", " dog "], file)) == [
        (0, "a cat here."),
        (0, "the cat."),
        (1, "a dog here."),
        (1, "the dog."),
    ]
    with pytest.raises(InputError, match="'no place'"):
        PromptSet(["cat"], ["no place"])


def test_a_label_beyond_the_context_is_named_with_its_counts():
    label = "one two three four five six seven eight"
    with pytest.raises(InputError, match=f"label '{label}' needs 13 tokens .* the model reads 12"):
        embed_prompts(color_clip(), PromptSet(["red", label], ["a nice photo of {} ."]), cache=False)


def test_vectors_come_from_disk_when_nothing_changed(tmp_path):
    first, second, other = color_clip(), color_clip(), color_clip()
    prompts = PromptSet(["red", "blue"])
    vectors = embed_prompts(first, prompts, cache=tmp_path)
    assert first.text_encoder.texts_read == 14
    torch.testing.assert_close(embed_prompts(second, PromptSet(["red", "blue"]), cache=tmp_path), vectors)
    assert second.text_encoder.texts_read == 0
    with torch.no_grad():
        other.text_encoder.table[1] += 0.1
    assert not torch.equal(embed_prompts(other, prompts, cache=tmp_path), vectors)
    embed_prompts(second, PromptSet(["blue", "red"]), cache=tmp_path)
    assert second.text_encoder.texts_read == 14
    embed_prompts(second, PromptSet(["red", "blue"], "photo"), cache=tmp_path)
    assert second.text_encoder.texts_read == 16
    with torch.no_grad():
        second.encoder.one.mul_(2)  # the image tower has no say in label vectors
    embed_prompts(second, prompts, cache=tmp_path)
    assert second.text_encoder.texts_read == 16


@pytest.mark.parametrize("damage", [b"", b"\x93NUMPY\x01\x00", b"not numpy at all"])
def test_a_damaged_cache_file_is_made_anew(tmp_path, damage):
    prompts = PromptSet(["red", "blue"])
    vectors = embed_prompts(color_clip(), prompts, cache=tmp_path)
    (file,) = tmp_path.rglob("*.npy")
    file.write_bytes(damage)
    torch.testing.assert_close(embed_prompts(color_clip(), prompts, cache=tmp_path), vectors)
    torch.testing.assert_close(load_array(file), vectors)


def test_the_cache_unpickles_nothing(tmp_path):
    file = tmp_path / "a.npy"
    np.save(file, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    assert load_array(file) is None


def test_a_cache_that_cannot_be_written_does_no_harm(tmp_path):
    occupied = tmp_path / "file"
    occupied.write_text("")
    save_array(occupied / "a.npy", torch.ones(2))
    assert load_array(occupied / "a.npy") is None
    assert embed_prompts(color_clip(), PromptSet(["red"]), cache=occupied).shape == (1, 3)


def test_saving_leaves_only_the_whole_file(tmp_path):
    save_array(tmp_path / "deep" / "a.npy", torch.arange(3.0))
    assert [p.name for p in (tmp_path / "deep").iterdir()] == ["a.npy"]
    torch.testing.assert_close(load_array(tmp_path / "deep" / "a.npy"), torch.arange(3.0))


def test_a_full_cache_forgets_what_was_longest_unused(tmp_path):
    size = 1000 * 4 + 128  # an .npy header takes 128 bytes
    files = [tmp_path / f"{name}.npy" for name in "abc"]
    for age, file in enumerate(files):
        save_array(file, torch.zeros(1000))
        os.utime(file, ns=(age, age))
    assert load_array(files[0]) is not None  # used, and so the youngest but for the next
    save_array(tmp_path / "d.npy", torch.zeros(1000), max_bytes=3 * size)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.npy", "c.npy", "d.npy"]
    save_array(tmp_path / "e.npy", torch.zeros(1000), max_bytes=1)
    assert [p.name for p in tmp_path.iterdir()] == ["e.npy"]


def test_the_cache_folder_follows_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("MMCONTRAST_CACHE", str(tmp_path / "own"))
    assert cache_directory() == tmp_path / "own"
    monkeypatch.delenv("MMCONTRAST_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_directory() == tmp_path / "mmcontrast"


def test_keys_tell_contents_apart():
    assert content_key(["ab", "c"]) != content_key(["a", "bc"])
    assert fingerprint(torch.nn.Linear(2, 2)) != fingerprint(torch.nn.Linear(2, 2))
    assert fingerprint(torch.nn.Sequential(torch.nn.ReLU())) != fingerprint(torch.nn.Sequential(torch.nn.GELU()))


def test_many_labels_are_streamed():
    clip = color_clip()
    sizes = []
    clip.text_encoder.register_forward_pre_hook(lambda _, args: sizes.append(len(args[0])))
    labels = [f"red number {i}" for i in range(3000)]
    vectors = embed_prompts(clip, PromptSet(labels, ["{}", "{}."]), cache=False)
    assert vectors.shape == (3000, 3)
    assert max(sizes) <= 256
    assert sum(sizes) == 6000
