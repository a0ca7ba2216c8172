"""A method, data and a run that take milliseconds, with places for faults."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from mmcontrast.data.sampler import SampleKey
from mmcontrast.encoders import TinyConv
from mmcontrast.methods.base import Method
from mmcontrast.train.data import Data
from mmcontrast.train.fitting import fit


class Points(Dataset[dict[str, Any]]):
    """Four numbers a sample, drawn from its key."""

    def __init__(self, length: int = 32, corrupt: tuple[int, ...] = ()) -> None:
        self.length, self.corrupt = length, corrupt

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, sample_key: int | SampleKey) -> dict[str, Any]:
        sample_key = SampleKey.of(sample_key)
        if sample_key.index in self.corrupt:
            return {"sample_key": sample_key.to_int(), "corrupt": f"image-{sample_key.index}.jpg is truncated"}
        x = torch.rand(4, generator=torch.Generator().manual_seed(sample_key.to_int()))
        return {"sample_key": sample_key.to_int(), "x": x, "index": sample_key.index}


class Regress(Method):
    """Fits a line through batch norm and dropout; spoils the losses of the steps in ``bad``."""

    def __init__(self, bad: tuple[int, ...] = (), fault: str = "loss") -> None:
        super().__init__()
        self.encoder = TinyConv(dim=2)
        self.encoder.requires_grad_(False)
        self.line = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Dropout(0.5), nn.Linear(4, 1))
        self.bad, self.fault = bad, fault
        self.calls = 0
        self.progress: list[float] = []
        self.seen: list[list[int]] = []
        self.register_buffer("queue", torch.zeros(4))

    def forward(self, batch: dict[str, Any]) -> dict[str, Tensor]:
        x = batch["x"]
        if self.training:
            self.seen.append(batch["index"].tolist())
            if self.calls in self.bad:
                x = x * torch.nan if self.fault == "loss" else x
            self.queue.copy_(x.mean(0))
        loss = (self.line(x)[:, 0] - x.sum(1)).square().mean()
        if self.training and self.calls in self.bad and self.fault == "gradient":
            loss = loss + (loss - loss.detach()).sqrt()  # the value is finite, its gradient is not
        self.calls += self.training
        return {"loss": loss}

    def after_step(self, progress: float) -> None:
        self.progress.append(progress)


def train(folder: Path, method: Method | None = None, data: Dataset | None = None, **options: Any) -> Method:
    """One epoch of four steps on ``Points``, unless told otherwise."""
    torch.manual_seed(0)
    method = method or Regress()
    quiet = {"logger": False, "enable_progress_bar": False, "accelerator": "cpu", "num_sanity_val_steps": 0}
    module = Data(
        data or Points(), batch_size=8, workers=options.pop("workers", 0), timeout=options.pop("timeout", 110.0)
    )
    fit(method, module, out=folder, **{"max_epochs": 1, "log_every": 1} | quiet | options)
    return method
