"""A missing extra is one sentence with the command that installs it."""

import re
import tomllib
from pathlib import Path

import pytest

from mmcontrast import extras
from mmcontrast.errors import InputError

PROJECT = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def names(requirements: list[str]) -> set[str]:
    return {re.split(r"[\[>=; ]", line)[0].lower() for line in requirements}


def test_every_library_is_in_the_extra_that_the_message_names():
    for library, extra in extras.EXTRAS.items():
        assert library in {name.replace("-", "_") for name in names(PROJECT["optional-dependencies"][extra])}


def test_every_extra_for_users_is_part_of_all():
    (line,) = PROJECT["optional-dependencies"]["all"]
    listed = set(line.removeprefix("mmcontrast[").removesuffix("]").split(","))
    assert listed == PROJECT["optional-dependencies"].keys() - {"all", "test", "bench", "docs", "search", "formats"}


def test_a_missing_library_is_one_sentence(monkeypatch: pytest.MonkeyPatch):
    extras.require("torch")
    monkeypatch.setattr(extras, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=re.escape("pip install 'mmcontrast[train]'")):
        extras.require("lightning")
