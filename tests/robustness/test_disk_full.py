"""A disk that is really full: a small file system of its own, filled to the last byte."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import hashlib, json, os, sys
from pathlib import Path
from mmcontrast.train.errors import TrainingError
from tests.train.tiny import train

run = Path(sys.argv[1]) / "run"
state = lambda: {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(run.iterdir())}
train(run, max_epochs=1)
before = state()
with open(run.parent / "ballast", "wb", buffering=0) as ballast:
    try:
        while True:
            ballast.write(bytes(4096))
    except OSError as error:
        reason = error.strerror
message = ""
try:
    train(run, max_epochs=2, resume=True)
except TrainingError as error:
    message = str(error)
after = state()
(run.parent / "ballast").unlink()
train(run, max_epochs=2, resume=True)
print(json.dumps({"reason": reason, "message": message, "before": before, "after": after, "end": sorted(state())}))
"""


@pytest.mark.slow
def test_training_on_a_full_disk_stops_and_goes_on_when_there_is_room(tmp_path: Path):
    own = ["unshare", "--mount", "sh", "-c", 'mount -t tmpfs -o size=1m tmpfs "$0" && exec "$@"', str(tmp_path)]
    if not shutil.which("unshare") or subprocess.run([*own, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this machine lets nobody mount a file system")
    command = [*own, sys.executable, "-c", PROGRAM, str(tmp_path)]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    found = json.loads(run.stdout.splitlines()[-1])
    assert found["reason"] == "No space left on device"
    assert "could not save" in found["message"]
    assert "its disk has 0 MiB free" in found["message"]
    assert "What was there before is intact" in found["message"]
    for name in ("last.ckpt", "config.yaml"):
        assert found["after"][name] == found["before"][name]
    assert not [name for name in found["after"] if "part" in name]
    assert found["end"] == ["config.yaml", "last.ckpt", "loss.png", "metrics.csv"]
