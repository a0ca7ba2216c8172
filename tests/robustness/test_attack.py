"""Damaged files are read or refused in a sentence; ``make attack`` tries more of them."""

import pytest

from tests.robustness import attack


@pytest.mark.slow
@pytest.mark.parametrize("kind", attack.KINDS)
def test_damaged_files_are_read_or_refused(kind: str):
    counts, failures = attack.run(kind, 0, 200)
    assert failures == []
    assert counts.total() == 200
    assert counts["refused"] > 0


def test_an_exception_and_a_crash_are_failures():
    """The attack itself can fail: a reader that raises and one that ends the process are reported, and it goes on."""
    counts, failures = attack.run("broken", 0, 6)
    assert counts == {"read": 2, "failed": 4}
    assert sum("ValueError" in line for line in failures) == 2
    assert sum("the process ended with 3" in line for line in failures) == 2
