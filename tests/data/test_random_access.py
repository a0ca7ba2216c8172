"""Random reads of many shards by many threads and processes."""

import io
import multiprocessing
import os
import tarfile
import threading
import zipfile
from pathlib import Path

import numpy as np
import pytest

from mmcontrast.data.io.samples import Samples

SHARDS, THREADS = 250, 8


def contents(shard: int, image: int) -> bytes:
    """Returns what an image of a shard holds; sizes differ between shards."""
    return f"{shard} {image} ".encode() * (20 + shard % 7)


def write_shards(folder: Path, kind: str) -> Samples:
    """Writes shards of two images each and opens them."""
    for shard in range(SHARDS):
        members = {f"{image}.png": contents(shard, image) for image in range(2)}
        path = folder / f"{shard:03d}.{kind}"
        if kind == "zip":
            with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
                for name, data in members.items():
                    archive.writestr(name, data)
            continue
        with tarfile.open(path, "w") as tar:
            for name, data in members.items():
                member = tarfile.TarInfo(name)
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))
    return Samples(folder)


def faults_of(samples: Samples, seed: int, reads: int) -> list[str]:
    """Returns what goes wrong in random reads."""
    faults = []
    for index in np.random.default_rng(seed).integers(0, 2 * SHARDS, reads).tolist():
        try:
            if samples.read(index, "image") != contents(index // 2, index % 2):
                faults.append(f"{index}: wrong bytes")
        except Exception as error:
            faults.append(f"{index}: {error!r}")
    return faults


def faults_of_threads(samples: Samples, reads: int) -> list[str]:
    """Returns what goes wrong in random reads of eight threads at once."""
    faults: list[str] = []
    barrier = threading.Barrier(THREADS)

    def read(seed: int) -> None:
        barrier.wait()
        faults.extend(faults_of(samples, seed, reads))

    threads = [threading.Thread(target=read, args=(seed,)) for seed in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return faults


def report(samples: Samples, seed: int, queue: "multiprocessing.Queue[list[str]]") -> None:
    """Puts the faults of another process into a queue."""
    queue.put(faults_of(samples, seed, 500))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["tar", "zip"])
def test_32000_reads_of_250_shards_by_8_threads(kind: str, tmp_path: Path):
    assert faults_of_threads(write_shards(tmp_path, kind), 32_000 // THREADS) == []


@pytest.mark.parametrize("kind", ["tar", "zip"])
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_processes_read_after_a_fork_while_the_parent_reads(kind: str, tmp_path: Path):
    samples = write_shards(tmp_path, kind)
    assert faults_of(samples, 0, 200) == []  # the children inherit open files
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    processes = [context.Process(target=report, args=(samples, seed, queue)) for seed in range(1, 5)]
    for process in processes:
        process.start()
    assert faults_of(samples, 9, 500) == []
    assert [queue.get(timeout=60) for _ in processes] == [[]] * 4
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
