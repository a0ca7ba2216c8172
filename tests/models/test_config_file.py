"""A config from a stranger ends in a sentence, quickly, and makes no request."""

import random
import socket
import time
from pathlib import Path

import pytest
import yaml

from mmcontrast.errors import InputError
from mmcontrast.models import load
from mmcontrast.models.bundle import BUNDLED
from mmcontrast.models.config_file import read_config

LAUGHS = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 12)
)
MERGES = "m0: &m0 {k: 1}\n" + "".join(f"m{i}: &m{i} {{<<: [{', '.join([f'*m{i - 1}'] * 9)}]}}\n" for i in range(1, 12))
ENCODER = "model: {{method: {{class_path: SimCLR, init_args: {{encoder: {{class_path: TinyConv, init_args: {}}}}}}}}}"
BAD = {
    "empty": "",
    "a number": "3",
    "a list": "[1, 2]",
    "aliases": LAUGHS + "model: {method: *a11}",
    "merge keys": MERGES + "model: {method: *m11}",
    "a loop": "model: &m {method: {class_path: SimCLR, init_args: *m}}",
    "depth": "model: " + "{method: " * 900 + "1" + "}" * 900,
    "depth of brackets": "[" * 100_000,
    "a tag": "model: !!python/object/apply:os.system ['true']",
    "no class": "model: {method: {init_args: {}}}",
    "a class that is a list": "model: {method: {class_path: [SimCLR]}}",
    "arguments that are a list": "model: {method: {class_path: SimCLR, init_args: [1]}}",
    "arguments without names": "model: {method: {class_path: SimCLR, init_args: {1: 2}}}",
    "no encoder": "model: {method: {class_path: SimCLR, init_args: {encoder: 3}}}",
    "a string as number": ENCODER.format("{dim: x}"),
    "a negative width": ENCODER.format("{dim: -3}"),
    "an unknown argument": ENCODER.format("{width: 3}"),
    "the program": "model: {method: {class_path: mmcontrast.__main__.main}}",
    "control characters": "model: \x01",
    "a duplicate anchor": "model: *nothing",
}


@pytest.mark.parametrize("kind", BAD)
def test_every_malformed_config_is_one_sentence(tmp_path: Path, kind: str):
    (tmp_path / "config.yaml").write_text(BAD[kind])
    start = time.monotonic()
    with pytest.raises(InputError) as caught:
        load(tmp_path)
    assert time.monotonic() - start < 5
    assert len(str(caught.value)) < 500 + len(str(tmp_path))


def test_large_files_and_other_bytes_are_refused(tmp_path: Path):
    path = tmp_path / "config.yaml"
    path.write_text("a: " + "x" * (1 << 20))
    with pytest.raises(InputError, match="larger than 1 MiB"):
        read_config(path)
    path.write_bytes(b"\xff\xfe\x00model")
    with pytest.raises(InputError, match="cannot be read as YAML"):
        read_config(path)
    path.write_text("a: &a [1, 2]\nb: *a")
    assert read_config(path) == {"a": [1, 2], "b": [1, 2]}


def test_a_config_makes_no_request(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    asked = []

    def refuse(*arguments, **options):
        asked.append(arguments)
        raise OSError("no network in this test")

    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    towers = [
        ("HFText", {"name": "nobody/no-such-model"}),
        ("OpenClipText", {"arch": "hf-hub:nobody/no-such-model"}),
    ]
    for name, arguments in towers:
        clip = {
            "image_encoder": {"class_path": "TinyConv"},
            "text_encoder": {"class_path": name, "init_args": arguments},
        }
        node = {"model": {"method": {"class_path": "CLIP", "init_args": clip}}}
        (tmp_path / "config.yaml").write_text(yaml.safe_dump(node))
        with pytest.raises(InputError, match="no-such-model"):
            load(tmp_path)
    assert not asked


def test_mutated_configs_never_end_in_another_error(tmp_path: Path):
    choose = random.Random(0)
    texts = [(BUNDLED / name / "config.yaml").read_text() for name in ("dino-lite", "track-lite")]
    pieces = [
        "null",
        "-1",
        "[]",
        "{}",
        "'",
        ":",
        "\n",
        "  ",
        "&a",
        "*a",
        "!!int",
        "1e400",
        "TinyConv",
        "class_path",
        "\t",
    ]
    for _ in range(40):
        text = choose.choice(texts)
        for _ in range(choose.randint(1, 3)):
            start = choose.randrange(len(text))
            text = text[:start] + choose.choice(pieces) + text[start + choose.choice([0, 0, 1, 8, 40]) :]
        (tmp_path / "config.yaml").write_text(text)
        with pytest.raises(InputError) as caught:
            load(tmp_path)  # without weights even a sound config is refused
        assert len(str(caught.value)) < 600 + len(str(tmp_path))
