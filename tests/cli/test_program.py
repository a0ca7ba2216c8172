import errno
import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from mmcontrast import __version__
from mmcontrast.cli import doctor, listing
from mmcontrast.cli.main import main

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


def test_version():
    done = program("--version")
    assert done.stdout.strip() == f"mmcontrast {__version__}"


def test_fit_then_validate_then_resume(config: str, capsys):
    assert main(["fit", config, "--out", "runs/toy-tiny"]) == 0
    run = Path("runs/toy-tiny")
    assert {p.name for p in run.iterdir()} == {"config.yaml", "last.ckpt", "loss.png", "metrics.csv"}
    capsys.readouterr()
    assert main(["validate", str(run)]) == 0
    figures = json.loads(capsys.readouterr().out)
    last = dict(zip(*(line.split(",") for line in (run / "metrics.csv").read_text().splitlines()[::4]), strict=True))
    assert figures["metrics"]["val/loss"] == pytest.approx(float(last["val/loss"]))

    assert main(["fit", config, "--out", "runs/toy-tiny"]) == 2
    assert "already holds a run. Go on with --resume, start again with --overwrite" in capsys.readouterr().err
    assert main(["fit", "--out", str(run), "--resume", "--trainer.max_epochs", "2"]) == 0
    assert len((run / "metrics.csv").read_text().splitlines()) == 1 + 8
    assert main(["fit", config, "--out", "runs/toy-tiny", "--overwrite"]) == 0
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
    assert main(["fit", config, "--out", "runs/toy-tiny", *flags]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.startswith("mmcontrast: ")
    assert len(error.splitlines()) == 1


def test_an_unknown_key_in_the_config_is_one_message(config: str, capsys):
    Path(config).write_text(CONFIG.replace("log_every", "log_evry"))
    assert main(["fit", config, "--out", "runs/toy-tiny"]) == 2
    assert capsys.readouterr().err == (
        "mmcontrast: Group 'model' does not accept option 'log_evry'. Did you mean log_every?\n"
    )


def test_without_a_config(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["fit"]) == 2
    assert "give a recipe, such as mmcontrast fit simclr" in capsys.readouterr().err
    assert main(["validate", "nowhere"]) == 2
    assert "nowhere has no last.ckpt" in capsys.readouterr().err


def test_unknown_options_are_refused(capsys):
    assert main(["list", "--all"]) == 2
    assert capsys.readouterr().err == "mmcontrast: No such option: --all. See mmcontrast list --help.\n"


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "out/a.csv"), "out/a.csv: No space left on device"),
        (OSError(errno.EFBIG, os.strerror(errno.EFBIG)), "a file: File too large"),
        (ConnectionError("the hub cannot be reached\nTraceback: ..."), "the hub cannot be reached"),
        (ModuleNotFoundError("No module", name="gradio"), "run: pip install 'mmcontrast[app]'"),
        (MemoryError(), "give a smaller --batch-size or --resolution"),
        (KeyError("views"), "KeyError: 'views'. This is a fault of mmcontrast"),
    ],
)
def test_an_error_that_nothing_foresaw_is_a_sentence_and_status_1(capsys, monkeypatch, error, message):
    def fail() -> None:
        raise error

    monkeypatch.setitem(listing.TABLES, "models", ("Models", fail))
    assert main(["list", "models"]) == 1
    text = capsys.readouterr().err
    assert text.startswith("mmcontrast: ")
    assert message in text
    assert len(text.splitlines()) == 1
    monkeypatch.setenv("MMCONTRAST_TRACEBACK", "1")
    with pytest.raises(type(error)):
        main(["list", "models"])


def test_ctrl_c_is_status_130(capsys, monkeypatch):
    def stop() -> None:
        raise KeyboardInterrupt

    monkeypatch.setitem(listing.TABLES, "models", ("Models", stop))
    assert main(["list", "models"]) == 130
    assert capsys.readouterr().err == "mmcontrast: interrupted\n"


def test_options_of_version_0_1_are_taken_with_a_note(tmp_path, capsys):
    image = str(tmp_path / "a.png")
    Image.new("RGB", (40, 30), "red").save(image)
    given = ["--reference", image, "--at", "5,5", "--image", image, "--model", "lab"]
    assert main(["predict", "match", *given, "--out", str(tmp_path / "out")]) == 0
    error = capsys.readouterr().err
    assert "--at is now --points" in error
    assert "--image is now an argument without a name" in error


def test_shell_completion_knows_commands_options_and_names(monkeypatch):
    monkeypatch.setenv("_MMCONTRAST_COMPLETE", "complete_bash")
    for words, expected in {
        "mmcontrast predict ": "zero-shot",
        "mmcontrast predict match --mo": "--model",
        "mmcontrast predict match --model do": "don-lite",
        "mmcontrast data ci": "cifar10",
        "mmcontrast fit smoke/cl": "smoke/clip",
    }.items():
        monkeypatch.setenv("COMP_WORDS", words)
        monkeypatch.setenv("COMP_CWORD", str(len(words.split(" ")) - 1))
        assert expected in program().stdout.split()


def test_training_that_fails_is_a_sentence_and_status_1(config: str, capsys):
    assert (
        main(
            [
                "fit",
                config,
                "--out",
                "runs/toy-tiny",
                "--model.lr",
                "1e38",
                "--model.max_skipped",
                "0",
                "--trainer.max_epochs",
                "9",
            ]
        )
        == 1
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


@pytest.mark.parametrize(
    ("card", "sentence"),
    [
        ("---\nlicense: mit\n---\n# net\n\nA network\nof two lines.  Second sentence.\n", "A network of two lines."),
        ("# net\nA clip of 3.5 s, e.g. of speech. It is short.", "A clip of 3.5 s, e.g. of speech."),
        ("# net\n\n| a |\n|---|\n\nA network without a full stop\n\nNext paragraph.", "A network without a full stop"),
        ("# net\n", ""),
    ],
)
def test_first_sentence_of_a_card(card: str, sentence: str):
    assert listing.first_sentence(card) == sentence


def test_list_models_shows_whole_sentences():
    rows = listing.models()
    assert len(rows) == 6
    for name, about in rows:
        assert about.endswith("."), name
        assert about.count(". ") == 1, name  # the size, then one sentence


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
    command = [
        sys.executable,
        "-m",
        "mmcontrast",
        "fit",
        config,
        "--out",
        "runs/toy-tiny",
        "--trainer.enable_progress_bar",
        "true",
    ]
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
    assert done.stdout.startswith("Recipes")
