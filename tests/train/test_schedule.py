import math

import pytest

from mmcontrast.train.schedule import cosine_ramp, learning_rate_factor, warmup_steps


def test_cosine_ramp_by_hand():
    assert [cosine_ramp(0.04, 0.4, p) for p in (0, 0.5, 1)] == pytest.approx([0.04, 0.22, 0.4])
    assert cosine_ramp(0.0, 1.0, 0.25) == pytest.approx((1 - math.sqrt(0.5)) / 2)
    assert cosine_ramp(0.996, 1.0, 1.5) == 1.0


def test_warmup_is_a_fraction_below_one_and_steps_from_one():
    assert warmup_steps(0.05, 200) == 10
    assert warmup_steps(1, 200) == 1
    assert warmup_steps(2000, 200) == 200
    assert warmup_steps(0, 200) == 0


def test_cosine_with_warmup_by_hand():
    factors = [learning_rate_factor(step, 8, warmup=4) for step in range(8)]
    cosine = [1, (1 + math.sqrt(0.5)) / 2, 0.5, (1 - math.sqrt(0.5)) / 2]
    assert factors == pytest.approx([0.25, 0.5, 0.75, 1.0, *cosine])


def test_a_rise_from_zero_is_that_of_dino():
    """DINO's code: numpy.linspace(0, 1, 4), then the cosine."""
    factors = [learning_rate_factor(step, 8, warmup=4, from_zero=True) for step in range(5)]
    assert factors == pytest.approx([0, 1 / 3, 2 / 3, 1, 1])


def test_cosine_ends_at_the_final_factor():
    assert learning_rate_factor(1000, 1000, shape="cosine", final=0.1) == pytest.approx(0.1)


def test_other_shapes_by_hand():
    assert [learning_rate_factor(s, 4, shape="linear", final=0.2) for s in range(4)] == pytest.approx(
        [1, 0.8, 0.6, 0.4]
    )
    assert [learning_rate_factor(s, 4, shape="constant") for s in range(4)] == [1.0] * 4
    drops = [
        learning_rate_factor(s, 200, shape="step", milestones=(0.3, 0.6, 0.8), gamma=0.2) for s in (0, 59, 60, 120, 160)
    ]
    assert drops == pytest.approx([1, 1, 0.2, 0.04, 0.008])
