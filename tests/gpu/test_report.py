"""The report of ``make gpu`` can be rehearsed without a GPU, so that it does not fail on the day it is needed."""

from pathlib import Path

import pytest
import torch

from tests.gpu import report


def test_a_failure_is_a_row_and_the_next_part_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys):
    def broken(settings: report.Settings) -> None:
        raise RuntimeError("no kernel image is available")

    monkeypatch.setattr(report, "PARTS", {"training": broken, "machine": report.environment})
    out = tmp_path / "gpu.md"
    assert report.main(["--out", str(out), "--device", "cpu", "--small"]) == 1
    text = out.read_text()
    assert "FAILED: no kernel image is available" in text
    assert torch.__version__ in text
    assert "FAILED" in capsys.readouterr().out  # printed as it goes


def test_a_machine_without_a_gpu_is_told_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert report.main(["--out", str(tmp_path / "gpu.md")]) == 2
    assert "There is no CUDA device" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("part", ["losses", "training", "propagation", "dense"])
def test_every_part_runs_on_a_cpu(part: str, tmp_path: Path):
    out = tmp_path / "gpu.md"
    assert report.main(["--out", str(out), "--device", "cpu", "--small", "--only", part]) == 0
    assert part in out.read_text()
