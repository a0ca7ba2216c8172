"""The one Lightning class: it optimizes any Method."""

from typing import Any

import lightning.pytorch as L
import torch
import torch.distributed as dist
from lightning.pytorch.plugins import MixedPrecision
from torch import Tensor
from torch.optim import Optimizer

from mmcontrast.methods.base import Method
from mmcontrast.ops.distributed import world_size
from mmcontrast.ops.random import derive_key
from mmcontrast.train.init_from import copy_shared_weights
from mmcontrast.train.nonfinite_guard import NonFiniteGuard
from mmcontrast.train.optim import OptimizerName, build_optimizer, parameter_groups
from mmcontrast.train.schedule import Shape, cosine_ramp, learning_rate_factor

# Settings of optimizers that no schedule changes.
_CONSTANTS = ("betas", "eps", "momentum", "nesterov", "trust")


class Learner(L.LightningModule):
    """Optimizes a method.

    Every step draws its randomness (dropout, masks) from (seed, epoch, batch, rank), and learning rate and weight decay
    are functions of the step, so that a run resumed after any step is the same run.

    Args:
        method: The method to train.
        optimizer: "adamw", "sgd" or "lars".
        lr: Peak learning rate for the batch size at hand; nothing scales it.
        weight_decay: Decay of the parameters that ``decay_all`` names, multiplied by the learning rate.
        final_weight_decay: Weight decay at the end of the run, reached along a cosine; None keeps it constant.
        decay_all: Whether biases, norms, positions and tokens decay too, as in MoCo's SGD; else only matrices and
            convolutions do.
        betas: Averaging constants of AdamW.
        eps: Smallest denominator of AdamW.
        momentum: Momentum of SGD and LARS.
        nesterov: Whether SGD takes Nesterov's steps.
        warmup: Length of the linear rise of the learning rate: below 1 a fraction of the run, else a number of steps.
        warmup_from_zero: Whether the rise begins at 0, as for DINO, instead of one step above it, as for CLIP.
        schedule: Shape of the learning rate after the warm-up: "cosine", "linear", "constant" or "step".
        final_lr: Learning rate at the end of a cosine or line, as a fraction of the peak.
        milestones: Fractions of the run at which the "step" schedule drops.
        gamma: Factor of each drop.
        layer_decay: Factor on the learning rate per block from output to input; None: no such factor.
        lr_scale: Factors on the learning rate by prefix of parameter names, such as {image_encoder: 0.1}.
        clip_each: Largest norm of the gradient of each parameter tensor by itself, as in DINO's code; None: no limit.
            ``trainer.gradient_clip_val`` limits the norm of all gradients together.
        init_from: Model or .safetensors file whose weights the method begins with, where names and shapes agree; any
            name that ``mmcontrast.load`` takes.
        max_skipped: Optimizer steps with a non-finite loss or gradient that are skipped before training fails.
        log_every: Optimizer steps between two rows of metrics.
        seed: Seed of the randomness inside the method.
    """

    def __init__(
        self,
        method: Method,
        optimizer: OptimizerName = "adamw",
        lr: float = 1e-3,
        weight_decay: float = 0.05,
        final_weight_decay: float | None = None,
        decay_all: bool = False,
        betas: tuple[float, float] = (0.9, 0.98),
        eps: float = 1e-8,
        momentum: float = 0.9,
        nesterov: bool = False,
        warmup: float = 0.05,
        warmup_from_zero: bool = False,
        schedule: Shape = "cosine",
        final_lr: float = 0.0,
        milestones: tuple[float, ...] = (),
        gamma: float = 0.1,
        layer_decay: float | None = None,
        lr_scale: dict[str, float] | None = None,
        clip_each: float | None = None,
        init_from: str | None = None,
        max_skipped: int = 3,
        log_every: int = 10,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.method, self.optimizer, self.lr = method, optimizer, lr
        self.weight_decay, self.final_weight_decay, self.decay_all = weight_decay, final_weight_decay, decay_all
        self.betas, self.eps, self.momentum, self.nesterov = betas, eps, momentum, nesterov
        self.warmup, self.warmup_from_zero, self.schedule, self.final_lr = warmup, warmup_from_zero, schedule, final_lr
        self.milestones, self.gamma = milestones, gamma
        self.layer_decay, self.lr_scale, self.clip_each = layer_decay, lr_scale, clip_each
        self.init_from, self.log_every, self.seed = init_from, log_every, seed
        self.nonfinite_guard = NonFiniteGuard(self, max_skipped)
        self.scalars: dict[str, Tensor] = {}

    def setup(self, stage: str) -> None:
        """Copies the weights to begin with; a resumed run replaces them by its own afterwards."""
        if stage == "fit" and self.init_from is not None:
            copy_shared_weights(self.method, self.init_from)

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Returns the optimizer's groups of the parameters that are trained."""
        return parameter_groups(
            self.method, self.lr, self.weight_decay, self.layer_decay, self.lr_scale, decay_all=self.decay_all
        )

    def configure_optimizers(self) -> Optimizer:
        """Builds the optimizer; the schedules act in ``optimizer_step``."""
        plugin = self.trainer.precision_plugin
        plain = isinstance(plugin, MixedPrecision) and (  # there Lightning neither unscales nor clips for fused kernels
            plugin.scaler is not None or bool(self.trainer.gradient_clip_val)
        )
        return build_optimizer(
            self.optimizer,
            self.parameter_groups(),
            self.lr,
            self.betas,
            self.eps,
            self.momentum,
            self.nesterov,
            fused=not plain,
        )

    def on_train_start(self) -> None:
        """Notes the length of the run; Lightning would leave a loaded method in evaluation mode."""
        self.method.train()
        self.total_steps = int(self.trainer.estimated_stepping_batches)
        self.nonfinite_guard.remember()
        for optimizer in self.trainer.optimizers:  # a resumed run takes the settings of now, not of its checkpoint
            for group in optimizer.param_groups:
                group |= {name: optimizer.defaults[name] for name in _CONSTANTS if name in optimizer.defaults}

    def training_step(self, batch: dict[str, Any], batch_idx: int) -> Tensor:
        """Returns the loss of the method; its other scalars are stored for the log."""
        torch.manual_seed(derive_key(self.seed, self.current_epoch, batch_idx, self.global_rank))
        out = self.method(batch)
        self.nonfinite_guard.watch(out["loss"], batch)
        self.scalars = {name: value.detach() for name, value in out.items()}
        loss: Tensor = out["loss"]
        return loss

    def validation_step(self, batch: dict[str, Any], batch_idx: int) -> None:
        """Logs the method's scalars on the validation set."""
        torch.manual_seed(derive_key(self.seed, batch_idx, self.global_rank))
        size = len(next(v for v in batch.values() if isinstance(v, Tensor)))
        out = {f"val/{name}": value for name, value in self.method(batch).items()}
        if self.trainer.state.fn == "fit":
            out["step"] = torch.tensor(float(self.global_step))  # Lightning logs under it
        self.log_dict(out, batch_size=size, sync_dist=True, add_dataloader_idx=False)

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        """Lets the method change its gradients, and refuses non-finite losses and gradients."""
        self.method.before_step(self.global_step / self.total_steps)
        self.nonfinite_guard.check()

    def optimizer_step(self, epoch: int, batch_idx: int, optimizer: Any, optimizer_closure: Any = None) -> None:
        """Sets the schedules, steps, then tells the method; Lightning calls this once per optimizer step."""
        step = self.global_step
        factor = learning_rate_factor(
            step,
            self.total_steps,
            self.warmup,
            self.schedule,
            self.final_lr,
            self.milestones,
            self.gamma,
            self.warmup_from_zero,
        )
        end = self.weight_decay if self.final_weight_decay is None else self.final_weight_decay
        decay = cosine_ramp(self.weight_decay, end, step / self.total_steps)
        for group in optimizer.param_groups:
            group["lr"] = self.lr * factor * group["lr_scale"]
            group["weight_decay"] = decay if group["decays"] else 0.0
        super().optimizer_step(epoch, batch_idx, optimizer, optimizer_closure)
        if not self.nonfinite_guard.skipped_this_step:
            self.method.after_step((step + 1) / self.total_steps)
            self.nonfinite_guard.remember()
        self._log(step + 1, self.lr * factor)

    def _log(self, step: int, lr: float) -> None:
        """Sends the mean of the scalars over ranks to all loggers, every ``log_every`` steps."""
        if step % self.log_every and step != self.total_steps:
            return
        means = torch.stack([value.float() for value in self.scalars.values()])
        if world_size() > 1:
            dist.all_reduce(means)
        values = dict(zip(self.scalars, (means / world_size()).tolist(), strict=True)) | {"lr": lr}
        if self.nonfinite_guard.skipped:
            values["skipped"] = self.nonfinite_guard.skipped
        values = {f"train/{name}": value for name, value in values.items()}
        if unreadable := getattr(getattr(self.trainer, "datamodule", None), "unreadable", None):
            values["data/corrupt"] = unreadable.corrupt
        for logger in self.loggers:
            logger.log_metrics(values, step)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Stores the number of skipped steps."""
        checkpoint["skipped_steps"] = self.nonfinite_guard.skipped

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restores the number of skipped steps."""
        self.nonfinite_guard.skipped = checkpoint.get("skipped_steps", 0)
