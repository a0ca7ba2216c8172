"""Settings of the process that make training faster, or its memory flat, without changing a result."""

import contextlib
import ctypes
import gc
import os
import sys
from collections.abc import Iterator

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # glibc malloc.h


def tune_cpu() -> None:
    """Tells glibc to keep freed memory for the next step instead of giving it back to the kernel page by page.

    A step allocates the same tensors over and over; by default each one above 32 MB is mapped, cleared by the kernel
    and unmapped again (``tests/benchmarks/bench_allocator.py`` shows what that costs).  Without glibc (musl, macOS), or
    where the environment sets MALLOC_* or GLIBC_TUNABLES, nothing happens.
    """
    if not sys.platform.startswith("linux"):
        return
    if any(name.startswith(("MALLOC_", "GLIBC_TUNABLES")) for name in os.environ):
        return
    with contextlib.suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL("libc.so.6").mallopt
        mallopt(M_MMAP_MAX, 0)
        mallopt(M_TRIM_THRESHOLD, 2**31 - 1)


@contextlib.contextmanager
def startup_frozen() -> Iterator[None]:
    """Within, Python's garbage collector passes over all that existed before.

    The half million objects of the imports put off every full collection until an eighth of a million more have
    gathered, so that drawn figures and finished epochs pile up for thousands of steps; and workers, which are forks,
    copy pages that a collection has written to.
    """
    gc.collect()
    gc.freeze()
    gc.collect()  # counts anew how many objects are long-lived, which says when the next one is due
    try:
        yield
    finally:
        gc.unfreeze()
