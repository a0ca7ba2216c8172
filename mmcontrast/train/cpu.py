"""Settings that make training on a CPU faster without changing a result."""

import contextlib
import ctypes
import os
import sys

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
