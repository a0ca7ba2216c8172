import gc
import weakref

import pytest

from mmcontrast.train.cpu import startup_frozen


class Knot:
    def __init__(self) -> None:
        self.itself = self


def test_the_collector_passes_over_what_was_there_and_frees_what_came_since():
    with startup_frozen():
        assert gc.get_freeze_count() > 10_000
        new = weakref.ref(Knot())
        gc.collect()
        assert new() is None
    assert gc.get_freeze_count() == 0


def test_the_collector_is_as_before_when_training_fails():
    with pytest.raises(KeyError), startup_frozen():
        raise KeyError
    assert gc.get_freeze_count() == 0
