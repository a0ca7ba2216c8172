"""``mmcontrast doctor``: checks of this installation, and of the geometry of scenes."""

import importlib.metadata
import importlib.util
import os
import platform
import shutil
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

from typer import Option

from mmcontrast.extras import EXTRAS

PACKAGES = (
    "torch", "torchvision", "timm", "transformers", "open_clip_torch", "safetensors", "huggingface_hub",
    "opencv-python-headless", "pillow", "numpy", "matplotlib",
)  # fmt: skip


class Problem(Exception):
    """A check that failed; the message says what to do."""


def doctor(
    scene: Annotated[
        str | None, Option(metavar="PATH", help="Folder or archive of posed RGB-D scenes to check instead.")
    ] = None,
    depth_unit: Annotated[
        float | None, Option(metavar="METERS", help="Length of one unit of the scenes' depth images, in meters.")
    ] = None,
) -> int:
    """Check this installation, or the geometry of RGB-D scenes.

    Prints one line for each check, or a table of scenes. The exit code is 1 if anything is wrong.

      mmcontrast doctor
      mmcontrast doctor --scene scene/
    """
    if scene:
        return _scene(scene, depth_unit)
    failed = 0
    for name, check in CHECKS:
        try:
            mark, text = "ok", check()
        except Problem as problem:
            mark, text, failed = "FAIL", str(problem), failed + 1
        lines = textwrap.wrap(text, 80 - 17)
        print(f"{mark:<5}{name:<12}" + f"\n{'':17}".join(lines), flush=True)
    print(f"{failed} of {len(CHECKS)} checks failed" if failed else "This installation is sound")
    return int(failed > 0)


def _scene(scene: str, depth_unit: float | None) -> int:
    """Prints the table of a scene's frames; returns 1 if the geometry is not sound."""
    import warnings

    from mmcontrast.data.rgbd.check import report, table

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # the table lists the frames they are about
        rows = report(scene, depth_unit)
    print(table(rows))
    return int(any(row.get("verdict", "sound") != "sound" for row in rows))


def version(package: str) -> str | None:
    """Returns an installed package's version, or None."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def python() -> str:
    """Returns the interpreter and the platform; pip has checked the version."""
    return f"{platform.python_version()} on {platform.system()} {platform.machine()}"


def packages() -> str:
    """Checks that the packages that every command needs are installed."""
    if missing := [name for name in PACKAGES if not version(name)]:
        raise Problem(f"missing {', '.join(missing)}: pip install {' '.join(missing)}")
    return ", ".join(f"{name} {version(name)}" for name in ("torch", "torchvision", "timm", "transformers"))


def torchvision() -> str:
    """Checks that torch and torchvision match: a mismatch shows only when an operator is missing."""
    import torch

    try:
        from torchvision.ops import nms

        nms(torch.zeros(1, 4), torch.zeros(1), 0.5)
    except (ImportError, RuntimeError, AttributeError) as error:
        raise Problem(
            f"torch {version('torch')} and torchvision {version('torchvision')} do not match ({error}); "
            "reinstall both together: pip install -U torch torchvision"
        ) from error
    return "matches torch (its compiled operators work)"


def opencv() -> str:
    """Checks that there is one OpenCV package: two overwrite each other's files."""
    import cv2

    others = [name for name in ("opencv-python", "opencv-contrib-python") if version(name)]
    if others:
        raise Problem(f"{', '.join(others)} beside opencv-python-headless: uninstall all of them, reinstall the last")
    return str(cv2.__version__)


def video() -> str:
    """Returns the readers of video files."""
    readers = [f"{name} {version(name)}" for name in ("decord", "av") if importlib.util.find_spec(name)]
    if not readers:
        raise Problem("neither decord nor av: videos cannot be read; pip install av")
    return ", ".join(readers)


def device() -> str:
    """Returns the GPUs, or the reason why there are none."""
    import torch

    if torch.cuda.is_available():
        count = torch.cuda.device_count()
        memory = torch.cuda.get_device_properties(0).total_memory / 2**30
        return f"{count} x {torch.cuda.get_device_name(0)}, {memory:.0f} GiB, CUDA {torch.version.cuda}"
    return f"no CUDA device (torch is built for {torch.version.cuda or 'the CPU only'}); everything runs on the CPU"


def threads() -> str:
    """Returns the numbers of cores and threads."""
    import torch

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return (
        f"{torch.get_num_threads()} for {cores} cores (OMP_NUM_THREADS={os.environ.get('OMP_NUM_THREADS', 'not set')})"
    )


def shared_memory() -> str:
    """Checks the shared memory, by which data workers hand over batches."""
    if not Path("/dev/shm").is_dir():
        return "not used on this platform"
    free = shutil.disk_usage("/dev/shm").free / 2**20
    if free < 256:
        raise Problem(f"{free:.0f} MiB free in /dev/shm; data workers need more: docker run --shm-size=8g")
    return f"{free / 1024:.1f} GiB free in /dev/shm"


def disk() -> str:
    """Checks the room for runs."""
    free = shutil.disk_usage(".").free / 2**30
    if free < 1:
        raise Problem(f"{free:.1f} GiB free in {Path.cwd()}; a run wants at least 1 GiB")
    return f"{free:.0f} GiB free in {Path.cwd()}"


def weights() -> str:
    """Checks that the bundled models load."""
    from mmcontrast.models import bundled, load

    for name in bundled():
        try:
            load(name)
        except Exception as error:
            raise Problem(f"{name} does not load ({error}); reinstall mmcontrast") from error
    return f"{', '.join(bundled())} load" if bundled() else "no model is bundled"


def extras() -> str:
    """Returns the installed extras, and the command that installs the others."""
    by_extra: dict[str, list[str]] = {}
    for library, extra in EXTRAS.items():
        by_extra.setdefault(extra, []).append(library)
    installed = [extra for extra, libraries in by_extra.items() if all(map(importlib.util.find_spec, libraries))]
    missing = [extra for extra in by_extra if extra not in installed]
    text = ", ".join(installed) or "none"
    return f"{text}; for more: pip install 'mmcontrast[{','.join(missing)}]'" if missing else text


CHECKS: tuple[tuple[str, Callable[[], str]], ...] = (
    ("python", python),
    ("packages", packages),
    ("torchvision", torchvision),
    ("opencv", opencv),
    ("video", video),
    ("device", device),
    ("threads", threads),
    ("shm", shared_memory),
    ("disk", disk),
    ("weights", weights),
    ("extras", extras),
)
