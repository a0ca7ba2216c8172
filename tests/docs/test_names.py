"""Every name and every command that the documentation mentions exists."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest

import mmcontrast
from mmcontrast.cli.main import program

ROOT = Path(__file__).parents[2]
CARDS, RECIPES = ROOT.glob("mmcontrast/models/weights/*/README.md"), ROOT.glob("configs/**/*.yaml")
PAGES = sorted([ROOT / "README.md", *ROOT.glob("docs/**/*.md"), *CARDS, *RECIPES])
OTHERS = {
    "apps",
    "recipes",
    "data_scripts",
    "BarlowTwins",
}  # packages of the wheel, and the example of docs/extending.md
page = pytest.mark.parametrize("file", PAGES, ids=[str(file.relative_to(ROOT)) for file in PAGES])


def commands(text: str) -> list[list[str]]:
    """Returns the words of each ``mmcontrast`` command in the code blocks and headers of a page."""
    if "```" in text:
        lines = re.findall(r"`(mmcontrast [a-z][^`]*)`", text)
        text = "\n".join(re.findall(r"^```\w*\n(.*?)^```", text, re.M | re.S) + [f"    {line}" for line in lines])
    joined = re.sub(r"\\\n[#\s]*", " ", text)
    lines = re.findall(r"^[#$\s]*(?:OMP_NUM_THREADS=\d+ )?(?:.* -m )?(mmcontrast [a-z].*)$", joined, re.M)
    lines += re.findall(r"`(mmcontrast [a-z][^`]*)`", joined)
    return [shlex.split(re.split(r"\s{2,}#|\s{3,}|  \(|;", line)[0], comments=True) for line in lines]


def find(words: list[str]) -> tuple[Any, list[str]]:
    """Returns the command that some words name, and the other words."""
    command, rest = program(), words[1:]
    while hasattr(command, "get_command") and rest and rest[0].islower() and not rest[0].startswith("-"):
        found = command.get_command(None, rest[0])
        assert found is not None, f"no command {' '.join(words)}"
        command, rest = found, rest[1:]
    return command, rest


@page
def test_commands_and_their_options_exist(file: Path):
    for words in commands(file.read_text(encoding="utf-8")):
        command, rest = find(words)
        if getattr(command, "ignore_unknown_options", False) or "COMMAND" in words:
            continue  # `fit` takes every constructor argument, and `data` what its script takes
        known = {option for parameter in command.params for option in parameter.opts} | {"--help", "--version"}
        for word in rest:
            if word.startswith("--"):
                assert word.partition("=")[0] in known, f"{' '.join(words)}: {word}"


@page
def test_names_of_the_package_exist(file: Path):
    for name in set(re.findall(r"\b(?:mmc|mmcontrast)\.([A-Za-z]\w*)\b(?!/)", file.read_text(encoding="utf-8"))):
        submodule = (ROOT / "mmcontrast" / name).is_dir() or (ROOT / f"mmcontrast/{name}.py").is_file()
        assert submodule or name in OTHERS or hasattr(mmcontrast, name), name


@page
def test_links_lead_to_files(file: Path):
    for target in re.findall(r"\]\(([^)#]+)", file.read_text(encoding="utf-8")):
        assert target.startswith(("http", "mailto")) or (file.parent / target).exists(), target
