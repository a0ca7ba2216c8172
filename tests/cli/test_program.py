import argparse
import errno
import json
import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mmcontrast import __version__
from mmcontrast.cli import doctor, listing
from mmcontrast.cli.main import build_parser, main

CONFIG = """\
model:
  method: {class_path: CLIP, init_args: {image_encoder: TinyConv, text_encoder: TinyText, dim: 8}}
  log_every: 1
data:
  train: {class_path: ToyPairs, init_args: {length: 16, size: 16}}
  val: {class_path: ToyPairs, init_args: {length: 8, size: 16}}
  batch_size: 4
  workers: 0
trainer: {max_epochs: 1, accelerator: cpu, logger: false, num_sanity_val_steps: 0, enable_progress_bar: false}
"""


@pytest.fixture
def config(tmp_path, monkeypatch) -> str:
    monkeypatch.chdir(tmp_path)
    path = Path("configs/toy/tiny.yaml")
    path.parent.mkdir(parents=True)
    path.write_text(CONFIG)
    return str(path)


def program(*arguments: str, **options) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-m", "mmcontrast", *arguments], capture_output=True, text=True, **options)


@pytest.mark.parametrize("arguments", [["--help"], ["fit", "--help"], ["eval", "zero-shot", "--help"], ["--version"]])
def test_help_and_version_import_nothing_heavy(arguments: list[str]):
    code = (
        "import sys, mmcontrast.cli.main\n"
        f"try: mmcontrast.cli.main.main({arguments})\n"
        "except SystemExit as end: assert not end.code\n"
        "heavy = {'torch', 'numpy', 'lightning', 'jsonargparse', 'timm', 'transformers', 'cv2', 'PIL', 'matplotlib'}\n"
        "assert not heavy & sys.modules.keys(), heavy & sys.modules.keys()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout


def parsers(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """A parser and those of all its commands, at any depth."""
    yield parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                yield from parsers(command)


@pytest.mark.parametrize("parser", [pytest.param(parser, id=parser.prog) for parser in parsers(build_parser())])
def test_every_help_fits_80_columns(parser: argparse.ArgumentParser, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    assert max(map(len, parser.format_help().splitlines())) <= 80


def test_help_names_every_command(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit) as end:
        main(["--help"])
    text = capsys.readouterr().out
    assert end.value.code == 0
    for command in ("fit", "validate", "eval", "predict", "export", "list", "doctor", "quickstart"):
        assert f"    {command}" in text


def test_version():
    done = program("--version")
    assert done.stdout.strip() == f"mmcontrast {__version__}"


def test_fit_then_validate_then_resume(config: str, capsys):
    assert main(["fit", "-c", config]) == 0
    run = Path("runs/toy-tiny")
    assert {p.name for p in run.iterdir()} == {"config.yaml", "last.ckpt", "loss.png", "metrics.csv"}
    capsys.readouterr()
    assert main(["validate", "--run-dir", str(run)]) == 0
    figures = json.loads(capsys.readouterr().out)
    last = dict(zip(*(line.split(",") for line in (run / "metrics.csv").read_text().splitlines()[::4]), strict=True))
    assert figures["val/loss"] == pytest.approx(float(last["val/loss"]))

    assert main(["fit", "-c", config]) == 2
    assert "already holds a run. Go on with --resume, start again with --overwrite" in capsys.readouterr().err
    assert main(["fit", "--run-dir", str(run), "--resume", "--trainer.max_epochs", "2"]) == 0
    assert len((run / "metrics.csv").read_text().splitlines()) == 1 + 8
    assert main(["fit", "-c", config, "--overwrite"]) == 0
    assert len((run / "metrics.csv").read_text().splitlines()) == 1 + 4


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--modle.lr", "3"], "unrecognized arguments: --modle.lr 3. Did you mean model.lr?"),
        (["--trainer.max_epoch", "3"], "Did you mean trainer.max_epochs?"),
        (["--model.lr", "fast"], "model.lr: Expected a <class 'float'>. Got value: fast"),
        (["--model.method.init_args.dimm", "3"], "Option 'dimm' is not accepted"),
        (["--data.train", "ToyPears"], "Did you mean ToyPairs?"),
        (["--data.batch_size", "100"], "the training set has 16 samples, fewer than one batch of 100"),
        (["-c", "nowhere.yaml"], "the config nowhere.yaml does not exist"),
    ],
)
def test_a_mistake_is_one_message_and_status_2(config: str, flags: list[str], message: str, capsys):
    assert main(["fit", "-c", config, *flags]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.startswith("mmcontrast: ")
    assert len(error.splitlines()) == 1


def test_an_unknown_key_in_the_config_is_one_message(config: str, capsys):
    Path(config).write_text(CONFIG.replace("log_every", "log_evry"))
    assert main(["fit", "-c", config]) == 2
    assert capsys.readouterr().err == (
        "mmcontrast: Group 'model' does not accept option 'log_evry'. Did you mean log_every?\n"
    )


def test_without_a_config(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["fit"]) == 2
    assert "give a config with -c FILE" in capsys.readouterr().err
    assert main(["validate", "--run-dir", "nowhere"]) == 2
    assert "nowhere has no last.ckpt" in capsys.readouterr().err


def test_unknown_arguments_of_other_commands(capsys):
    with pytest.raises(SystemExit) as end:
        main(["list", "--all"])
    assert end.value.code == 2
    assert "unknown arguments: --all" in capsys.readouterr().err


def test_what_the_file_system_refuses_is_a_sentence_and_status_1(capsys, monkeypatch):
    def fail(args: argparse.Namespace) -> int:
        raise OSError(number, os.strerror(number), "out/a.csv")

    monkeypatch.setattr(listing, "run", fail)
    number = errno.ENOSPC
    assert main(["list"]) == 1
    assert capsys.readouterr().err == "mmcontrast: out/a.csv: No space left on device\n"
    number = errno.EBADF  # is a mistake of the program
    with pytest.raises(OSError, match="Bad file"):
        main(["list"])


def test_training_that_fails_is_a_sentence_and_status_1(config: str, capsys):
    assert (
        main(["fit", "-c", config, "--model.lr", "1e38", "--model.max_skipped", "0", "--trainer.max_epochs", "9"]) == 1
    )
    assert "was not finite at step" in capsys.readouterr().err


def test_list_is_a_table_of_what_configs_can_name(capsys):
    assert main(["list"]) == 0
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) <= 80
    for name in ("CLIP ", "TimmEncoder ", "ImageText ", "ToFloat "):
        assert f"  {name}" in text
    for name in ("Tokenizer ", "Collate ", "Key "):
        assert f"  {name}" not in text


def test_table_wraps():
    rows = [("short", "word " * 30), ("a-name-longer-than-the-column-can-be-for-sure", "about")]
    lines = listing.table(rows, 60).splitlines()
    assert max(map(len, lines)) <= 60
    assert lines[-2:] == ["  a-name-longer-than-the-column-can-be-for-sure", " " * 38 + "about"]


def test_doctor_passes_here_and_names_what_is_wrong(capsys, monkeypatch):
    monkeypatch.setattr(doctor, "weights", lambda: "")
    assert main(["doctor"]) == 0
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) <= 80
    assert "This installation is sound" in text
    monkeypatch.setattr(doctor, "PACKAGES", ("torch", "no-such-package"))
    monkeypatch.setattr(doctor, "CHECKS", (("packages", doctor.packages),))
    assert main(["doctor"]) == 1
    assert "FAIL packages    missing no-such-package: pip install no-such-package" in capsys.readouterr().out


def test_progress_fits_a_terminal_of_80_columns(config: str):
    """A pseudo-terminal shows the bar: every repaint within 80 columns, the key figures in it."""
    leader, follower = pty.openpty()
    command = [sys.executable, "-m", "mmcontrast", "fit", "-c", config, "--trainer.enable_progress_bar", "true"]
    child = subprocess.Popen(command, stderr=follower, env={**os.environ, "COLUMNS": "80", "LINES": "24"})
    os.close(follower)
    seen = b""
    while True:
        try:
            chunk = os.read(leader, 4096)
        except OSError:  # the other end is closed
            break
        if not chunk:
            break
        seen += chunk
    assert child.wait() == 0
    paints = [line for line in seen.decode().replace("\n", "\r").split("\r") if line.strip()]
    assert max(map(len, paints)) <= 80
    assert "epoch 1/1" in seen.decode()
    assert "4/4" in seen.decode()
    assert "loss" in seen.decode()
    assert "it/s" in seen.decode()


def test_a_reader_that_has_enough_is_no_error():
    command = f"set -o pipefail; {sys.executable} -m mmcontrast list | head -n 1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("Models")
