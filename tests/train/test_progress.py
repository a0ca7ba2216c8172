"""What a run says on stderr while it trains: lines in a log file, nothing from ranks that were told to be quiet."""

from mmcontrast.train import run_directory as run
from mmcontrast.train.progress import Progress
from tests.train.tiny import train


def test_lines_in_a_log_file(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(run, "Progress", lambda: Progress(seconds_between_lines=0.0))
    train(tmp_path / "run", max_epochs=2, enable_progress_bar=True)
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("epoch ")]
    assert lines[0].startswith("epoch 1/2  step 1/")
    last, total = lines[-1].split("step ")[1].split()[0].split("/")
    assert last == total
    assert "epoch 2/2" in lines[-1]
    assert all(" loss " in line and "it" in line for line in lines)
    assert max(map(len, lines)) < 80


def test_a_disabled_bar_is_silent_and_says_so(tmp_path, capsys, monkeypatch):
    """``LightningModule.print`` writes through the bar where there is one that is enabled, and to stdout elsewhere."""
    bar = Progress(seconds_between_lines=0.0)
    assert bar.is_enabled
    bar.disable()
    assert not bar.is_enabled
    monkeypatch.setattr(run, "Progress", lambda: bar)
    train(tmp_path / "run", enable_progress_bar=True)
    bar.print("not shown")
    assert "step" not in capsys.readouterr().err
    bar.enable()
    assert bar.is_enabled
    bar.print("shown", 2)
    assert "shown 2" in capsys.readouterr().err
