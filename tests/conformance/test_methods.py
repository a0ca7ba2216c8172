"""What every method must do.  Methods join by an entry in ``cases.py``."""

import copy
import inspect
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from mmcontrast import methods
from mmcontrast.data import Collate
from mmcontrast.methods import Method
from tests.conformance.cases import CASES, Case

each_method = pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())


def seeded_forward(method: Method, batch: dict[str, Any]) -> dict[str, Tensor]:
    torch.manual_seed(7)
    return method(batch)


def test_every_method_has_a_case():
    public = [getattr(methods, name) for name in methods.__all__]
    classes = {c for c in public if inspect.isclass(c) and issubclass(c, Method) and c is not Method}
    covered = {type(case.build()) for case in CASES.values()}
    assert classes - covered == set(), "add a case to tests/conformance/cases.py"


@each_method
def test_forward_gives_a_finite_loss_and_every_trainable_parameter_a_finite_gradient(case: Case):
    method = case.build()
    out = seeded_forward(method, case.batch(method))
    assert {name: value.shape for name, value in out.items()} == dict.fromkeys(out, torch.Size([]))
    assert all(value.isfinite() for value in out.values())
    assert [name for name, value in out.items() if value.requires_grad] == ["loss"]
    out["loss"].backward()
    for name, parameter in method.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None, f"{name} gets no gradient, which stops training on several GPUs"
            assert parameter.grad.isfinite().all(), name
        else:
            assert parameter.grad is None, name


@each_method
def test_overfits_one_batch(case: Case):
    method = case.build()
    batch = case.batch(method)
    optimizer = torch.optim.Adam([p for p in method.parameters() if p.requires_grad], lr=case.lr)
    seeded_forward(method, batch)  # a queue holds this batch from here on
    first = seeded_forward(method, batch)["loss"].item()
    for step in range(100):
        loss = method(batch)["loss"]
        optimizer.zero_grad()
        loss.backward()
        method.before_step(step / 100)
        optimizer.step()
        method.after_step((step + 1) / 100)
    assert seeded_forward(method, batch)["loss"].item() < case.overfit_to * first


@each_method
def test_state_makes_the_round_trip(case: Case, tmp_path):
    method, other = case.build(seed=0).eval(), case.build(seed=1).eval()
    batch = case.batch(method)
    torch.save(method.state_dict(), tmp_path / "state.pt")
    other.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    expected, actual = (seeded_forward(copy.deepcopy(m), batch) for m in (method, other))
    assert {k: v.item() for k, v in actual.items()} == {k: v.item() for k, v in expected.items()}


@each_method
def test_same_seed_same_run(case: Case):
    losses = []
    for _ in range(2):
        method = case.build()
        optimizer = torch.optim.AdamW([p for p in method.parameters() if p.requires_grad], lr=case.lr)
        losses.append([])
        for step in range(20):
            torch.manual_seed(step)
            loss = method(case.batch(method))["loss"]
            optimizer.zero_grad()
            loss.backward()
            method.before_step(step / 20)
            optimizer.step()
            method.after_step((step + 1) / 20)
            losses[-1].append(loss.item())
    assert losses[0] == losses[1]


@each_method
def test_the_plain_loop_drives_it(case: Case):
    method, augment = case.build(), case.augment()
    optimizer = torch.optim.AdamW([p for p in method.parameters() if p.requires_grad], lr=case.lr)
    losses = []
    for batch in DataLoader(case.data(), batch_size=12, collate_fn=Collate(method.tokenizer)):
        loss = method(augment(batch))["loss"]
        optimizer.zero_grad()
        loss.backward()
        method.before_step(0.0)
        optimizer.step()
        method.after_step(0.0)
        losses.append(loss.item())
    assert len(losses) == 3
    assert torch.tensor(losses).isfinite().all()
