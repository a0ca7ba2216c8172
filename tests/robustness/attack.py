"""Feeds damaged files of every kind to the readers and writes a table: tried, read, refused, failed.

    make attack
    python -m tests.robustness.attack --out attack.md --count 500 --only images videos

Each damaged file is a function of its kind and its number: ``--first NUMBER --count 1`` repeats a failure.
A file may be read, or refused with an ``InputError``. Everything else is a failure: another exception, a crash of the
process, or more than 20 seconds. Each kind runs in a process of its own, which is started again after a crash.
"""

import argparse
import io
import json
import multiprocessing
import os
import signal
import sys
import tarfile
import tempfile
import warnings
import wave
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from mmcontrast.errors import InputError

SECONDS = 20
FRAMES = 12


def damaged(data: bytes, rng: np.random.Generator) -> bytes:
    """Returns a damaged copy: cut, bits flipped, bytes replaced, a part removed, repeated or set to zero."""
    out = bytearray(data)
    for _ in range(int(rng.integers(1, 4))):
        if not out:
            break
        start = int(len(out) * rng.random() ** 2)  # headers, at the beginning, are damaged more often
        end = min(len(out), start + int(rng.integers(1, max(2, len(out) // 8))))
        kind = rng.integers(6)
        if kind == 0:
            del out[start + 1 :]
        elif kind == 1:
            for index in rng.integers(len(out), size=int(rng.integers(1, 9))):
                out[index] ^= 1 << int(rng.integers(8))
        elif kind == 2:
            out[start:end] = rng.integers(0, 256, end - start, dtype=np.uint8).tobytes()
        elif kind == 3:
            del out[start:end]
        elif kind == 4:
            out[start:start] = out[start:end]
        else:
            out[start:end] = bytes(end - start)
    return bytes(out)


def image_bytes(kind: str) -> bytes:
    """Returns an encoded image."""
    y, x = np.mgrid[:48, :64]
    pixels = np.stack([4 * x, 5 * y, (x * y) % 256], -1).astype(np.uint8)
    image = Image.fromarray(pixels)
    if kind in ("GIF", "PNG-P"):
        image = image.convert("P")
    elif kind == "PNG-16":
        image = Image.fromarray(pixels[..., 0].astype(np.uint16) * 257)
    elif kind == "JPEG-CMYK":
        image = image.convert("CMYK")
    stream = io.BytesIO()
    name = kind.partition("-")[0]
    image.save(stream, name, **({"progressive": True} if kind == "JPEG-progressive" else {}))
    return stream.getvalue()


def images() -> dict[str, tuple[bytes, Callable[[Path], Any]]]:
    """Returns image files and their reader."""
    from mmcontrast.data.io.decode import decode

    kinds = ("JPEG", "JPEG-progressive", "JPEG-CMYK", "PNG", "PNG-P", "PNG-16", "WEBP", "TIFF", "GIF", "BMP")
    return {f"{kind}.{kind.partition('-')[0].lower()}": (image_bytes(kind), decode) for kind in kinds}


def masks() -> dict[str, tuple[bytes, Callable[[Path], Any]]]:
    """Returns mask files and their reader."""
    from mmcontrast.data.io.masks import read_mask

    stream = io.BytesIO()
    Image.fromarray((np.arange(48 * 64).reshape(48, 64) // 800).astype(np.uint8)).save(stream, "PNG")
    return {"mask.png": (stream.getvalue(), read_mask)}


def encoded_video(name: str, codec: str) -> bytes:
    """Returns a short video."""
    import av

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, name)
        with av.open(str(path), "w") as container:
            stream: Any = container.add_stream(codec, rate=10)
            stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
            for number in range(FRAMES):
                pixels = np.roll(np.indices((48, 64)).sum(0).astype(np.uint8), 3 * number, 1)
                frame = av.VideoFrame.from_ndarray(np.stack([pixels] * 3, -1), "rgb24")
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        return path.read_bytes()


def read_video(path: Path, backend: str) -> None:
    """Reads a video from the first frame to the last and some frames by index."""
    from mmcontrast.data.io.video import open_video

    video = open_video(path, backend)  # type: ignore[arg-type]
    for number, _ in enumerate(video):
        if number > 2 * FRAMES:
            break
    if len(video):
        video.read([len(video) - 1, 0, len(video) // 2])


def videos() -> dict[str, tuple[bytes, Callable[[Path], Any]]]:
    """Returns video files and their readers."""
    files = {"a.mp4": "libx264", "a.mkv": "libx264", "a.avi": "mpeg4", "a.ts": "mpeg2video", "a.webm": "libvpx"}
    backends = ("pyav", "decord", "auto")
    return {
        f"{backend}-{name}": (encoded_video(name, codec), lambda path, backend=backend: read_video(path, backend))
        for name, codec in files.items()
        for backend in backends
    }


def sounds() -> dict[str, tuple[bytes, Callable[[Path], Any]]]:
    """Returns sound files and their reader."""
    from mmcontrast.data.datasets.audio import read_wav

    files: dict[str, tuple[bytes, Callable[[Path], Any]]] = {}
    for width in (1, 2, 3, 4):
        stream = io.BytesIO()
        with wave.open(stream, "wb") as file:
            file.setnchannels(2)
            file.setsampwidth(width)
            file.setframerate(22_050)
            file.writeframes(bytes(range(256)) * width * 4)
        files[f"{8 * width}-bit.wav"] = stream.getvalue(), read_wav
    return files


def read_samples(path: Path) -> None:
    """Reads every sample of a shard."""
    from mmcontrast.data.datasets.image_text import ImageText

    data = ImageText(path, size=16)
    for index in range(min(len(data), 8)):
        data[index]


def shards() -> dict[str, tuple[bytes, Callable[[Path], Any]]]:
    """Returns archives of images with captions and their reader."""
    members = {f"{n}.jpg": image_bytes("JPEG") for n in range(4)} | {
        f"{n}.json": json.dumps({"captions": [f"caption {n}"]}).encode() for n in range(4)
    }
    tar, zipped = io.BytesIO(), io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w") as archive:
        for name, data in sorted(members.items()):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    with zipfile.ZipFile(zipped, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in members.items():
            file.writestr(name, data)
    return {"shard.tar": (tar.getvalue(), read_samples), "shard.zip": (zipped.getvalue(), read_samples)}


def read_table(path: Path) -> None:
    """Reads a table of captions, whose images are in the folder beside it."""
    from mmcontrast.data.datasets.image_text import ImageText

    folder = path.with_name("images")
    if not folder.exists():
        folder.mkdir()
        for number in range(20):
            (folder / f"{number}.jpg").write_bytes(image_bytes("JPEG"))
    data = ImageText(path, size=16, images=path.parent)
    for index in range(min(len(data), 8)):
        data[index]


def tables() -> dict[str, tuple[bytes, Callable[[Path], Any]]]:
    """Returns caption tables and their reader."""
    rows = "".join(f"images/{n}.jpg,A caption number {n}\n" for n in range(20))
    return {
        "captions.csv": (f"image,caption\n{rows}".encode(), read_table),
        "captions.tsv": (f"image\tcaption\n{rows}".replace(",", "\t").encode(), read_table),
    }


def models() -> dict[str, tuple[bytes, Callable[[Path], Any]]]:
    """Returns the files of an exported model and a loader of the folder that holds a damaged one."""
    import mmcontrast as mmc
    from mmcontrast.models import load

    folder = Path(tempfile.mkdtemp())
    mmc.export(mmc.SimCLR(mmc.TinyConv(dim=8), dim=4), folder / "model")
    whole = {file.name: file.read_bytes() for file in (folder / "model").iterdir()}

    def load_with(path: Path) -> None:
        target = path.with_name("model")
        target.mkdir(exist_ok=True)
        for name, data in whole.items():
            (target / name).write_bytes(path.read_bytes() if path.name.endswith(name) else data)
        load(target)

    return {name: (whole[name], load_with) for name in ("config.yaml", "model.safetensors")}


def broken() -> dict[str, tuple[bytes, Callable[[Path], Any]]]:
    """Returns readers that fail on purpose, to test the attack."""

    def fail(path: Path) -> None:
        raise ValueError("on purpose")

    return {"good": (b"text", lambda path: None), "bad": (b"text", fail), "worse": (b"text", lambda path: os._exit(3))}


KINDS = {
    "images": images,
    "masks": masks,
    "videos": videos,
    "sounds": sounds,
    "shards": shards,
    "tables": tables,
    "models": models,
}


def _too_long(*_: Any) -> None:
    raise TimeoutError(f"took more than {SECONDS} s")


def attack(kind: str, numbers: range, pipe: Connection) -> None:
    """Reads the damaged files of some numbers and sends (number, name, outcome) for each, after (number, name, "")."""
    warnings.simplefilter("ignore")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # decoders in C report every damage
    signal.signal(signal.SIGALRM, _too_long)
    files = list((KINDS | {"broken": broken})[kind]().items())
    with tempfile.TemporaryDirectory() as folder:
        for number in numbers:
            name, (data, read) = files[number % len(files)]
            path = Path(folder, name)
            path.write_bytes(damaged(data, np.random.default_rng([zlib.crc32(kind.encode()), number])))
            pipe.send((number, name, ""))
            signal.alarm(SECONDS)
            try:
                read(path)
                outcome = "read"
            except InputError as error:
                outcome = "refused" if len(str(error)) < 1000 else f"a message of {len(str(error))} characters"
            except Exception as error:
                outcome = f"{type(error).__name__}: {str(error)[:120]}"
            finally:
                signal.alarm(0)
            pipe.send((number, name, outcome))


def outcomes(kind: str, numbers: range) -> Iterator[tuple[int, str, str]]:
    """Yields (number, name, outcome) of the damaged files; ends after a file that ended the process."""
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=attack, args=(kind, numbers, sender))
    process.start()
    sender.close()
    number, name, outcome = numbers.start, "", ""
    try:
        while True:
            number, name, outcome = receiver.recv()
            if outcome:
                yield number, name, outcome
    except EOFError:
        process.join()
        if not outcome:
            yield number, name, f"the process ended with {process.exitcode}"


def run(kind: str, first: int, count: int) -> tuple[Counter[str], list[str]]:
    """Attacks with one kind of file; returns the counts of outcomes, and a line for each failure."""
    counts: Counter[str] = Counter()
    failures: list[str] = []
    number = first
    while number < first + count:
        for number, name, outcome in outcomes(kind, range(number, first + count)):  # noqa: B020
            passed = outcome in ("read", "refused")
            counts[outcome if passed else "failed"] += 1
            if not passed:
                failures.append(f"{kind} {number} ({name}): {outcome}")
        number += 1
    return counts, failures


def main(arguments: list[str] | None = None) -> int:
    """Runs the attack; returns 0, or 1 if a file failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="Markdown file to write (default: print only)")
    parser.add_argument("--count", type=int, default=300, help="damaged files of each kind (default: %(default)s)")
    parser.add_argument("--first", type=int, default=0, help="number of the first file (default: %(default)s)")
    parser.add_argument("--only", nargs="+", choices=KINDS, help="kinds to attack with (default: all)")
    args = parser.parse_args(arguments)
    lines, failures = ["| damaged files | tried | read | refused | failed |", "|---|---|---|---|---|"], []
    for kind in args.only or KINDS:
        counts, failed = run(kind, args.first, args.count)
        failures += failed
        lines.append(f"| {kind} | {counts.total()} | {counts['read']} | {counts['refused']} | {counts['failed']} |")
        print(lines[-1], *failed, sep="\n", flush=True)
    if args.out:
        args.out.write_text("\n".join([*lines, "", *(f"- {line}" for line in failures)]) + "\n", encoding="utf-8")
    return int(bool(failures))


if __name__ == "__main__":
    sys.exit(main())
