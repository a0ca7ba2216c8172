"""A DataLoader that can go on after any batch of an epoch, and explains why a worker died or hung."""

import contextlib
import multiprocessing
import os
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset

from mmcontrast.data.sampler import KeyedSampler, SampleKey
from mmcontrast.train.errors import TrainingError


def start_worker(worker: int) -> None:
    """Prepares a worker: one thread, since the workers are the parallelism, and a process group of its own.

    A signal to the group of the main process, such as Ctrl-C or a preemption, then leaves the workers alone until the
    main process has saved its checkpoint and ends them.
    """
    import cv2

    if hasattr(os, "setpgid"):
        with contextlib.suppress(OSError):
            os.setpgid(0, 0)
    cv2.setNumThreads(0)
    torch.set_num_threads(1)
    os.environ["OMP_NUM_THREADS"] = "1"


class Loader(DataLoader[dict[str, Any]]):
    """Batches of one rank, drawn by a ``KeyedSampler``; its state is the number of samples that all ranks have drawn.

    Args:
        data: The samples.
        sampler: The order of this rank.
        batch_size: Samples per rank.
        workers: Number of data processes.
        collate: Turns samples into a batch.
        drop_last: Whether to drop an incomplete last batch.
        timeout: Seconds to wait for a batch before the run ends with an error; counts only with workers.
    """

    sampler: KeyedSampler
    batch_size: int

    def __init__(
        self,
        data: "Dataset[dict[str, Any]]",
        sampler: KeyedSampler,
        batch_size: int,
        workers: int,
        collate: Callable[[list[dict[str, Any]]], dict[str, Any]],
        drop_last: bool,
        timeout: float,
    ) -> None:
        fork = "fork" in multiprocessing.get_all_start_methods()
        super().__init__(
            data,
            batch_size,
            sampler=sampler,
            num_workers=workers,
            collate_fn=collate,
            drop_last=drop_last,
            pin_memory=torch.cuda.is_available(),
            timeout=timeout if workers else 0,
            worker_init_fn=start_worker,
            multiprocessing_context="fork" if workers and fork else None,
            persistent_workers=workers > 0,
            generator=torch.Generator(),  # leaves the global one alone
        )
        self.drawn = 0  # batches of this epoch
        self._resume: dict[str, int] = {}

    def __iter__(self) -> Iterator[dict[str, Any]]:  # type: ignore[override]
        position, self._resume = self._resume, {}
        same_epoch = position.get("epoch") == self.sampler.epoch
        self.drawn = position["samples"] // (self.batch_size * self.sampler.num_ranks) if same_epoch else 0
        self.sampler.start = self.drawn * self.batch_size
        try:
            for batch in super().__iter__():
                self.drawn += 1
                yield batch
        except RuntimeError as error:
            raise self._explained(error) from error

    def state_dict(self) -> dict[str, int]:
        """Returns how many samples of which epoch all ranks together have drawn."""
        return {"epoch": self.sampler.epoch, "samples": self.drawn * self.batch_size * self.sampler.num_ranks}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Lets the next iteration go on there, if it is of the same epoch."""
        self._resume = dict(state)

    def keys(self, epoch: int) -> dict[int, int]:
        """Returns the index of every sample of an epoch by its key as a number, for messages."""
        return {SampleKey(i, epoch, self.sampler.seed).to_int(): i for i in range(len(self.sampler.data))}

    def _explained(self, error: RuntimeError) -> Exception:
        text = str(error)
        if "timed out" in text:
            worker = self._awaited_worker()
            who = f"data worker {worker}" if worker is not None else "a data worker"
            return TrainingError(
                f"{who} gave no batch within {self.timeout:.0f} s. Usual causes: a network file system that hangs, one "
                f"huge or broken file, a deadlock in a library after fork. Try data.workers: 0 to see it in the main "
                f"process, or a longer data.timeout if the storage is just slow."
            )
        if "exited unexpectedly" in text or "is killed by signal" in text:
            workers = getattr(self._iterator, "_workers", [])
            dead = ", ".join(str(number) for number, worker in enumerate(workers) if not worker.is_alive())
            return TrainingError(
                f"data worker {dead} died ({text.splitlines()[0].strip()}). Usual causes: out of memory (fewer "
                f"data.workers, smaller images), too little /dev/shm in a container (docker --shm-size=8g), a crash "
                f"in a decoder. data.workers: 0 shows the fault in the main process."
            )
        return error

    def _awaited_worker(self) -> int | None:
        iterator = self._iterator
        task = getattr(iterator, "_task_info", {}).get(getattr(iterator, "_rcvd_idx", None))
        return task[0] if task else None
