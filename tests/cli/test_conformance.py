"""Every command keeps the contract; the commands are found from the program itself."""

import io
import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import typer

from mmcontrast.cli.data import Script
from mmcontrast.cli.main import main, program
from mmcontrast.cli.report import SCHEMA
from tests.cli.inputs import ELSEWHERE, FAILING, WORKING, make_inputs

# Options that all commands spell and explain alike. The texts of --data say which layout a command reads.
SHARED = {"--out", "--overwrite", "--device", "--batch-size", "--limit", "--seed"}
# Commands whose results are for people, or whose inputs need minutes.
WITHOUT_REPORT = {"fit", "validate", "export", "app", "list", "doctor", "quickstart"}


def walk(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yields every command with its path, groups before their commands."""
    yield path, command
    context = typer.Context(command)
    for name in getattr(command, "list_commands", lambda context: ())(context):
        yield from walk(command.get_command(context, name), (*path, name))


ALL = list(walk(program()))
COMMANDS = [(path, command) for path, command in ALL if not hasattr(command, "list_commands")]
OWN = [(path, command) for path, command in COMMANDS if not isinstance(command, Script)]


def named(pairs: list[tuple[tuple[str, ...], Any]]) -> list[Any]:
    return [pytest.param(*pair, id=" ".join(pair[0]) or "mmcontrast") for pair in pairs]


def run(*arguments: str) -> tuple[int, str, str]:
    """Returns the exit code, stdout and stderr of a command."""
    with redirect_stdout(io.StringIO()) as out, redirect_stderr(io.StringIO()) as error:
        code = main(arguments)
    return code, out.getvalue(), error.getvalue()


@pytest.fixture(scope="module")
def inputs(tmp_path_factory) -> dict[str, str]:
    return make_inputs(tmp_path_factory.mktemp("inputs"))


def test_all_commands_are_found():
    paths = {" ".join(path) for path, _ in COMMANDS}
    assert {"fit", "eval knn", "predict zero-shot", "data cifar10", "list", "doctor", "app"} <= paths
    assert len(paths) > 30


@pytest.mark.parametrize(("path", "command"), named(ALL))
def test_help_fits_80_columns_and_is_stdout(path: tuple[str, ...], command: Any, monkeypatch):
    if isinstance(command, Script):
        pytest.skip("a script prints its own help")
    monkeypatch.setenv("COLUMNS", "80")
    code, out, error = run(*path, "--help")
    assert (code, error) == (0, "")
    assert out.startswith("Usage: mmcontrast")
    assert max(map(len, out.splitlines())) <= 80
    assert "``" not in out


@pytest.mark.parametrize("path", [(), ("predict",), ("eval",), ("fit",), ("predict", "track"), ("eval", "davis")])
def test_help_is_fast_and_imports_nothing_heavy(path: tuple[str, ...]):
    code = (
        "import sys, time, mmcontrast.cli.main\n"
        f"assert mmcontrast.cli.main.main({[*path, '--help']}) == 0\n"
        "heavy = {'torch', 'numpy', 'lightning', 'jsonargparse', 'timm', 'transformers', 'cv2', 'PIL', 'matplotlib'}\n"
        "assert not heavy & sys.modules.keys(), heavy & sys.modules.keys()\n"
        "print(time.process_time(), file=sys.stderr)\n"
    )
    seconds = []
    for _ in range(3):
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        seconds.append(float(done.stderr))
    assert min(seconds) < 0.3


@pytest.mark.parametrize(("path", "command"), named(OWN))
def test_every_option_is_documented_in_a_sentence(path: tuple[str, ...], command: Any):
    assert re.match(r"[A-Z].*\.$", command.short_help), command.short_help
    for parameter in command.params:
        text = parameter.help or ""
        assert re.match(r"[A-Z]", text), f"{parameter.name}: {text}"
        assert text.endswith("."), f"{parameter.name}: {text}"
        assert parameter.metavar or parameter.is_flag or "|" in parameter.display_type(typer.Context(command))


def test_the_same_option_has_the_same_meaning_everywhere():
    helps: dict[str, set[str]] = {}
    for _, command in OWN:
        for parameter in command.params:
            for name in SHARED & set(parameter.opts):
                helps.setdefault(name, set()).add(parameter.help.partition(" Without it,")[0])
    assert {name: texts for name, texts in helps.items() if len(texts) > 1} == {}


@pytest.mark.parametrize(("path", "command"), named(OWN))
def test_wrong_usage_is_one_sentence_and_status_2(path: tuple[str, ...], command: Any):
    if path in {("fit",), ("validate",)}:
        pytest.skip("takes any flag of its config")
    code, out, error = run(*path, "--no-such-option")
    assert (code, out) == (2, "")
    assert error.startswith("mmcontrast: ")
    assert len(error.splitlines()) == 1
    assert f"See mmcontrast {' '.join(path)} --help." in error


def test_every_command_with_a_report_has_an_example():
    missing = {" ".join(path) for path, _ in OWN} - WITHOUT_REPORT - ELSEWHERE - WORKING.keys()
    assert missing == set()


@pytest.mark.parametrize("name", sorted(WORKING))
def test_a_report_keeps_the_schema_and_files_lie_below_out(name: str, inputs, tmp_path, monkeypatch):
    arguments = [part.format(**inputs) for part in WORKING[name]]
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    needs_out = any("--out" in p.opts and p.required for path, c in OWN if " ".join(path) == name for p in c.params)
    if not needs_out:
        code, out, error = run(*name.split(), *arguments)
        assert code == 0, error
        check(json.loads(out), name)
        assert list(folder.iterdir()) == []
    given = [*name.split(), *arguments, "--out", "results"]
    code, out, error = run(*given)
    assert code == 0, error
    check(json.loads(out), name)
    assert [path.name for path in folder.iterdir()] == ["results"]
    assert json.loads(Path("results/metrics.json").read_text()) == json.loads(out)
    code, out, error = run(*given)
    assert (code, out) == (2, "")
    assert "holds the results of an earlier run; add --overwrite" in error
    Path("results/mine.txt").touch()
    assert run(*given, "--overwrite")[0] == 0
    assert Path("results/mine.txt").exists()


def check(report: dict[str, Any], name: str) -> None:
    jsonschema.validate(report, json.loads(SCHEMA.read_text()))
    assert list(report) == ["model", "data", "metrics", "counts", "settings", "version"]
    assert report["settings"]["command"] == name


@pytest.mark.parametrize(("name", "arguments", "status"), FAILING)
def test_exit_codes(name: str, arguments: list[str], status: int, inputs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, error = run(*name.split(), *(part.format(**inputs) for part in arguments))
    assert code == status, error
    assert "Traceback" not in error
    if status == 2:
        assert out == ""
        assert len(error.splitlines()) == 1
    else:
        assert json.loads(out)["counts"]["errors"] > 0


def test_help_of_a_script_is_its_own(capfd):
    started = time.process_time()
    assert main(["data", "cifar10", "--help"]) == 0
    assert "usage: mmcontrast data cifar10" in capfd.readouterr().out
    assert time.process_time() - started < 5
