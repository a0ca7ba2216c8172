"""Every kind of image gives its right pixels, and every broken one an error that names it."""

import io
import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps, features

from mmcontrast.data.io import decode as decode_module
from mmcontrast.data.io.decode import ImageError, decode, load
from mmcontrast.data.io.resize import crop, random_crop, resize

RNG = np.random.default_rng(0)
# Smooth, so that JPEG keeps it; every corner another color, so that orientations differ.
RAMP = np.stack(np.meshgrid(np.linspace(0, 255, 60), np.linspace(0, 200, 40)), -1).astype(np.uint8)
RAMP = np.dstack([RAMP, np.full((40, 60), 90, np.uint8)])  # (40, 60, 3)


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def png_header(width: int, height: int) -> bytes:
    """A PNG that promises pixels it does not have."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    return b"\x89PNG\r\n\x1a\n" + chunk + b"\0\0\0\0IEND\xaeB`\x82"


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "PPM"])
def test_lossless_kinds_keep_every_pixel(kind: str):
    np.testing.assert_array_equal(decode(encoded(Image.fromarray(RAMP), kind)), RAMP)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF"])
def test_exif_orientation(kind: str, orientation: int):
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(Image.fromarray(RAMP), kind, exif=exif)
    wanted = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))))
    np.testing.assert_array_equal(decode(data), wanted)
    assert abs(decode(data, at_least=10).mean((0, 1)) - wanted.mean((0, 1))).max() < 2


def test_sixteen_bits_are_scaled():
    gray = np.linspace(0, 65535, 40 * 60).astype(np.uint16).reshape(40, 60)
    image = decode(encoded(Image.fromarray(gray), "PNG"))
    np.testing.assert_array_equal(image, np.repeat(np.round(gray / 257).astype(np.uint8)[..., None], 3, 2))


def test_sixteen_bit_color_png():
    rows = b"".join(b"\0" + b"\xff\xff\x80\x00\x00\x10" * 3 for _ in range(2))
    header = b"IHDR" + struct.pack(">IIBBBBB", 3, 2, 16, 2, 0, 0, 0)
    data = b"IDAT" + zlib.compress(rows)
    chunks = [struct.pack(">I", len(c) - 4) + c + struct.pack(">I", zlib.crc32(c)) for c in (header, data, b"IEND")]
    assert decode(b"\x89PNG\r\n\x1a\n" + b"".join(chunks)).reshape(-1, 3).tolist() == [[255, 128, 0]] * 6


def test_alpha_is_laid_on_white():
    rgba = np.zeros((4, 5, 4), np.uint8)
    rgba[..., 0], rgba[..., 3] = 200, 0
    rgba[0, 0, 3], rgba[0, 1, 3] = 255, 128
    for image in (decode(encoded(Image.fromarray(rgba), "PNG")), decode(rgba), decode(Image.fromarray(rgba))):
        assert image[0, 0].tolist() == [200, 0, 0]
        assert image[0, 1].tolist() == [227, 127, 127]
        assert image[1, 1].tolist() == [255, 255, 255]


def test_palette_with_transparency():
    photo = Image.new("P", (2, 2))
    photo.putdata([0, 1, 1, 0])
    photo.putpalette([10, 20, 30, 40, 50, 60])
    image = decode(encoded(photo, "PNG", transparency=0))
    assert image.tolist() == [[[255, 255, 255], [40, 50, 60]], [[40, 50, 60], [255, 255, 255]]]


def test_one_bit_and_gray_alpha():
    assert decode(encoded(Image.new("1", (3, 2), 1), "PNG")).tolist() == [[[255] * 3] * 3] * 2
    assert decode(encoded(Image.new("LA", (2, 2), (9, 0)), "PNG")).min() == 255


def test_cmyk_jpeg():
    data = encoded(Image.fromarray(RAMP).convert("CMYK"), "JPEG", quality=95)
    assert abs(decode(data).astype(int) - RAMP).mean() < 4


def test_the_first_frame_of_an_animation():
    frames = [Image.new("RGB", (8, 8), color) for color in ("red", "blue")]
    data = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert decode(data)[0, 0].tolist() == [255, 0, 0]


def test_arrays_and_tensors():
    np.testing.assert_array_equal(decode(RAMP), RAMP)
    np.testing.assert_array_equal(decode(torch.from_numpy(RAMP).permute(2, 0, 1)), RAMP)
    np.testing.assert_array_equal(decode(RAMP.astype(np.float32) / 255), RAMP)
    np.testing.assert_array_equal(decode(RAMP.astype(np.uint16) * 257), RAMP)
    np.testing.assert_array_equal(decode(RAMP[..., 0]), np.repeat(RAMP[..., :1], 3, 2))
    assert decode(np.eye(3, dtype=bool))[0, 0].tolist() == [255, 255, 255]


BROKEN = {
    "empty": (b"", "empty"),
    "html": (b"\n <!DOCTYPE html><html></html>", "HTML"),
    "svg": (b'<svg xmlns="http://www.w3.org/2000/svg"/>', "SVG"),
    "text": (b"this is not an image at all, it is a sentence", "cannot identify"),
    "huge": (png_header(13000, 13000), "169 Mpx"),
    "bomb": (png_header(60000, 60000), "cannot be decoded|Mpx"),
    "long": (png_header(20000, 1), "50 times"),
    "no pixels": (png_header(40, 60), "cannot be decoded"),
    "cut jpeg": (encoded(Image.fromarray(RAMP), "JPEG", quality=95)[:-200], "truncated"),
    "cut png": (encoded(Image.fromarray(RAMP), "PNG")[:-60], "cannot be decoded"),
    "jpeg head": (b"\xff\xd8\xff\xe0\x00\x10JFIF", "cannot be decoded"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_images_are_named_with_a_reason(name: str, tmp_path: Path):
    data, reason = BROKEN[name]
    path = tmp_path / f"{name}.jpg"
    path.write_bytes(data)
    with pytest.raises(ImageError, match=reason) as caught:
        decode(path)
    assert str(path) in str(caught.value)
    with pytest.raises(ImageError, match=reason):
        decode(data, at_least=16, name="shard.tar: key")


def test_nan_pixels_are_refused(tmp_path: Path):
    gray = np.full((4, 4), 0.5, np.float32)
    Image.fromarray(gray).save(tmp_path / "gray.tif")
    assert decode(tmp_path / "gray.tif")[0, 0].tolist() == [128] * 3
    gray[1, 1] = np.nan
    Image.fromarray(gray).save(tmp_path / "nan.tif")
    with pytest.raises(ImageError, match=r"nan\.tif: has NaN"):
        decode(tmp_path / "nan.tif")


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (np.zeros((2, 2, 2), np.uint8), "shape"),
        (np.full((2, 2, 3), 7.0), r"wanted \[0, 1\]"),
        (np.full((2, 2, 3), -1), "int64"),
        (np.zeros((0, 4, 3), np.uint8), "0"),
        ("nowhere.jpg", "no such file"),
        (".", "folder"),
    ],
)
def test_unusable_sources(given: object, reason: str):
    with pytest.raises(ImageError, match=reason):
        decode(given)


def test_a_large_jpeg_is_decoded_small_enough_and_large_enough():
    photo = resize(RAMP, 800, 1200)
    data = encoded(Image.fromarray(photo), "JPEG", quality=95)
    assert decode(data).shape == (800, 1200, 3)
    assert decode(data, at_least=200).shape == (200, 300, 3)
    assert decode(data, at_least=201).shape == (400, 600, 3)
    assert abs(load(data, 32).float() - load(photo, 32).float()).max() < 4


@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
def test_crop_is_what_pil_and_torchvision_do(photographs: list[Path], interpolation):
    from torchvision.transforms import CenterCrop, Compose, InterpolationMode, Resize

    image = Image.open(photographs[0]).convert("RGB")
    theirs = Compose([Resize(64, InterpolationMode(interpolation)), CenterCrop(64)])(image)
    difference = abs(crop(np.asarray(image), 64, interpolation).astype(int) - np.asarray(theirs))
    assert difference.max() <= 1


def test_load_gives_channels_first():
    assert load(RAMP, 16).shape == (3, 16, 16)
    assert load(RAMP, 16, "squash").dtype == torch.uint8
    assert load(RAMP, 20)[0].float().mean() > 100  # the center of the ramp, not its start


def test_random_crop_stays_inside_and_follows_the_generator():
    crops = [random_crop(RAMP, 16, np.random.default_rng(seed), (0.2, 1.0)) for seed in (1, 1, 2)]
    assert np.array_equal(crops[0], crops[1])
    assert not np.array_equal(crops[0], crops[2])
    assert random_crop(RAMP[:2], 8, RNG).shape == (8, 8, 3)  # 60 x 2: no allowed shape has 0.9 of it


def test_the_largest_images_need_less_than_half_a_gigabyte(tmp_path: Path):
    """In a process of its own, whose peak is theirs."""
    for mode, kind in (("RGB", "PNG"), ("RGBA", "PNG"), ("CMYK", "JPEG"), ("P", "PNG"), ("I;16", "PNG")):
        options = {"transparency": 0, "compress_level": 1} if mode == "P" else {"compress_level": 1}
        Image.new(mode, (7000, 7000)).save(tmp_path / mode.replace(";", ""), kind, **options)
    program = """if True:
        import resource, sys
        from pathlib import Path
        from mmcontrast.data.io.decode import decode
        peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        before = peak()
        for path in Path(sys.argv[1]).iterdir():
            assert decode(path).shape == (7000, 7000, 3)
        print((peak() - before) // 1024)
    """
    run = subprocess.run([sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=True)
    assert int(run.stdout) <= 500


def test_large_images_are_read_in_strips_without_a_seam():
    rgba = np.random.default_rng(0).integers(0, 256, (2100, 2100, 4), dtype=np.uint8)
    whole = decode(Image.fromarray(rgba))
    assert abs(whole.astype(int) - decode(rgba)).max() <= 1
    gray = np.random.default_rng(0).integers(0, 65536, (2100, 2100), dtype=np.uint16)
    np.testing.assert_array_equal(decode(Image.fromarray(gray)), decode(gray))


@pytest.mark.parametrize("dtype", [np.int16, np.int32, np.uint32, np.int64, np.uint64])
def test_integers_of_any_type_are_the_same_pixels(dtype: type):
    np.testing.assert_array_equal(decode(RAMP.astype(dtype)), RAMP)
    np.testing.assert_array_equal(decode(Image.fromarray(RAMP[..., 0].astype(np.int32)))[..., 0], RAMP[..., 0])
    for outside in (256, 70000, -1):
        if outside >= 0 or np.dtype(dtype).kind == "i":
            wrong = RAMP.astype(np.int64)
            wrong[0, 0] = outside
            if outside <= np.iinfo(dtype).max:
                with pytest.raises(ImageError, match="integers of 0 to 255"):
                    decode(wrong.astype(dtype))


def test_int8_and_tensors_of_integers():
    np.testing.assert_array_equal(decode((RAMP // 2).astype(np.int8)), RAMP // 2)
    for dtype in (torch.int16, torch.int32, torch.int64):
        np.testing.assert_array_equal(decode(torch.from_numpy(RAMP.copy()).permute(2, 0, 1).to(dtype)), RAMP)


@pytest.mark.parametrize("at_least", [None, 8])
@pytest.mark.parametrize("orientation", [1, 2, 3, 6, 8])
@pytest.mark.parametrize("kind", ["short", "long", "xmp"])
def test_orientation_as_long_or_in_xmp(kind: str, orientation: int, at_least: int | None):
    plain, file = io.BytesIO(), io.BytesIO()
    photo = Image.fromarray(RAMP)
    photo.save(plain, "JPEG")
    if kind == "xmp":
        photo.save(file, "JPEG", xmp=f'<x:xmpmeta tiff:Orientation="{orientation}"/>'.encode())
    else:
        width, tag = (2, 3) if kind == "short" else (4, 4)
        entry = (0x0112).to_bytes(2, "little") + tag.to_bytes(2, "little") + (1).to_bytes(4, "little")
        value = orientation.to_bytes(width, "little").ljust(4, b"\0")
        exif = b"Exif\0\0II*\0" + (8).to_bytes(4, "little") + (1).to_bytes(2, "little") + entry + value + bytes(4)
        photo.save(file, "JPEG", exif=exif)
    upright = decode(plain.getvalue(), at_least)
    turned = {1: upright, 2: upright[:, ::-1], 3: upright[::-1, ::-1]}
    turned |= {6: np.rot90(upright, -1), 8: np.rot90(upright)}
    np.testing.assert_array_equal(decode(file.getvalue(), at_least), turned[orientation])


def test_avif_goes_through_the_same_checks(monkeypatch: pytest.MonkeyPatch):
    if not features.check("avif"):
        pytest.skip("this Pillow reads no AVIF")
    file = io.BytesIO()
    Image.fromarray(RAMP).save(file, "AVIF", quality=100)
    assert np.abs(decode(file.getvalue()).astype(int) - RAMP).mean() < 6
    monkeypatch.setattr(decode_module, "MAX_PIXELS", 100)
    monkeypatch.setattr(decode_module.check_size, "__defaults__", (100,))
    with pytest.raises(ImageError, match="Mpx; at most"):
        decode(file.getvalue())


def test_heic_names_its_extra(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(ImageError, match=r"pip install 'mmcontrast\[heic\]'"):
        decode(b"\0\0\0\x18ftypheic" + bytes(60))


def test_pipes_are_refused_unopened(tmp_path: Path):
    os.mkfifo(tmp_path / "a.png")
    with pytest.raises(ImageError, match="named pipe"):
        decode(tmp_path / "a.png")


def test_progressive_cmyk_has_a_limit_of_its_own(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(decode_module, "_MAX_PROGRESSIVE_CMYK", 1000)
    for progressive in (False, True):
        file = io.BytesIO()
        Image.fromarray(RAMP).convert("CMYK").save(file, "JPEG", progressive=progressive)
        if progressive:
            with pytest.raises(ImageError, match="Mpx; at most 0"):
                decode(file.getvalue())
        else:
            assert decode(file.getvalue()).shape == RAMP.shape
