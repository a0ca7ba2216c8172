"""Refuses optimizer steps with a non-finite loss or gradient, and undoes what such a batch left in buffers."""

from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist
from torch import Tensor

from mmcontrast.ops.distributed import world_size
from mmcontrast.train.errors import TrainingError

if TYPE_CHECKING:
    from mmcontrast.train.learner import Learner


class NonFiniteGuard:
    """Watches a learner's losses and gradients.

    A bad step leaves no trace: gradients are dropped, so that optimizers skip their parameters, and buffers (running
    statistics, queues, centers) return to what they were after the last good step.

    Args:
        max_skipped: bad steps to tolerate in a run.
    """

    def __init__(self, learner: "Learner", max_skipped: int) -> None:
        self.learner, self.max_skipped = learner, max_skipped
        self.skipped, self.skipped_this_step = 0, False
        self._losses: list[Tensor] = []
        self._batches: list[dict[str, Any]] = []
        self._good: dict[str, Tensor] = {}  # buffers as of the last good step

    def watch(self, loss: Tensor, batch: dict[str, Any]) -> None:
        """Takes note of one (micro-)batch."""
        self._losses.append(loss.detach())
        self._batches.append(batch)

    def remember(self) -> None:
        """The buffers are good now."""
        for name, buffer in self.learner.method.named_buffers():
            if name in self._good:
                self._good[name].copy_(buffer)
            else:
                self._good[name] = buffer.detach().clone()

    def check(self) -> None:
        """Call before each optimizer step.

        Raises:
            TrainingError: more than ``max_skipped`` bad steps.
        """
        losses, batches = torch.stack(self._losses), self._batches
        self._losses, self._batches = [], []
        gradients = [p.grad for p in self.learner.method.parameters() if p.grad is not None]
        finite = losses.isfinite().all()
        if (
            getattr(self.learner.trainer.precision_plugin, "scaler", None) is None
        ):  # fp16's scaler skips overflows itself
            finite = finite & torch.stack(torch._foreach_norm(gradients, torch.inf)).isfinite().all()
        bad = (~finite).float()
        if world_size() > 1:
            dist.all_reduce(bad)  # all ranks skip, or none
        self.skipped_this_step = bool(bad)
        if not self.skipped_this_step:
            return
        self.skipped += 1
        for parameter in self.learner.method.parameters():
            parameter.grad = None
        for name, buffer in self.learner.method.named_buffers():
            buffer.copy_(self._good[name])
        if self.skipped > self.max_skipped:
            raise TrainingError(self._report(losses, batches))

    def _report(self, losses: Tensor, batches: list[dict[str, Any]]) -> str:
        learner = self.learner
        what = "loss" if not losses.isfinite().all() else "gradient"
        keys = [key for batch in batches for key in batch.get("sample_key", torch.tensor([])).tolist()]
        describe = getattr(getattr(learner.trainer, "datamodule", None), "describe", None)
        names = describe(keys) if describe else [str(key) for key in keys]
        listed = ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
        return (
            f"the {what} was not finite at step {learner.global_step} (epoch {learner.current_epoch}), after "
            f"{self.skipped - 1} earlier steps with such a fault were skipped. Samples of this step: {listed}. "
            f"The last checkpoint is from before and intact. Try a lower lr, a longer warmup, "
            f"trainer.gradient_clip_val, or look at these samples."
        )
