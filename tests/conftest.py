"""What all tests share: one thread, real photographs, and the data of ``MMCONTRAST_TEST_DATA`` where it is set."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from mmcontrast.cli.quickstart import PHOTOGRAPHS


def pytest_configure() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def test_data() -> Callable[[str], Path]:
    """Name below the data folder -> its path; skips the test where it is not there."""

    def find(name: str) -> Path:
        root = os.environ.get("MMCONTRAST_TEST_DATA")
        if not root:
            pytest.skip("MMCONTRAST_TEST_DATA is not set")
        if not (path := Path(root, name)).exists():
            pytest.skip(f"MMCONTRAST_TEST_DATA has no {name}")
        return path

    return find


@pytest.fixture(scope="session")
def photographs() -> list[Path]:
    """Real photographs inside installed packages."""
    found = [file for photograph in PHOTOGRAPHS if (file := photograph.file())]
    if not found:
        pytest.skip("no installed package carries photographs")
    return found
