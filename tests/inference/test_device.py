import pytest
import torch

from mmcontrast.errors import InputError
from mmcontrast.inference.checks import check_at_least, check_positive
from mmcontrast.inference.device import choose_device, choose_dtype, inference_in


def test_the_best_device_there_is(monkeypatch):
    for cuda, mps, best in ((True, True, "cuda"), (False, True, "mps"), (False, False, "cpu")):
        monkeypatch.setattr(torch.cuda, "is_available", lambda cuda=cuda: cuda)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda mps=mps: mps)
        assert choose_device(None).type == best
    assert choose_device("cpu") == choose_device(torch.device("cpu")) == torch.device("cpu")


@pytest.mark.parametrize(
    ("name", "reason"), [("abacus", "no such kind"), ("cuda:99", "CUDA devices"), (3.5, "no such kind")]
)
def test_a_device_that_is_not_there(name, reason):
    with pytest.raises(InputError, match=reason):
        choose_device(name)


def test_a_missing_mps_device(monkeypatch):
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(InputError, match="no MPS device"):
        choose_device("mps")


def test_dtypes_by_name():
    assert choose_dtype(None) == choose_dtype("float32") == torch.float32
    assert choose_dtype("bfloat16") == choose_dtype(torch.bfloat16) == torch.bfloat16
    for wrong in ("int8", torch.float64, "half"):
        with pytest.raises(InputError, match="give one of float32, bfloat16, float16"):
            choose_dtype(wrong)


def test_matrices_are_multiplied_in_the_dtype():
    a = torch.ones(2, 2)
    for dtype in (torch.float32, torch.bfloat16):
        with inference_in(torch.device("cpu"), dtype):
            assert (a @ a).dtype == dtype
            assert (a @ a).is_inference()


@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf")])
def test_numbers_that_are_not_positive(value):
    with pytest.raises(InputError, match="temperature is"):
        check_positive("temperature", value)
    check_positive("temperature", None)
    check_at_least("k", None, 1)
    with pytest.raises(InputError, match="k is nan; give 1 or more"):
        check_at_least("k", float("nan"), 1)
