"""What the first bytes of an image file say, read before anything is decoded."""

import io

from PIL import Image

_ORIENTATION = 0x0112  # EXIF tag


def orientation_of(photo: Image.Image) -> int:
    """Returns how an image is to be turned upright, by EXIF or else by XMP.

    Args:
        photo: An open image.

    Returns:
        One of EXIF's orientations, 1 to 8; 1 where none or a wrong one is stated.
    """
    value = photo.getexif().get(_ORIENTATION)
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def jpeg_orientation(data: bytes) -> int:
    """Returns the orientation of a JPEG file; see ``orientation_of``."""
    if b"Exif\0\0" not in data and b"rientation" not in data:
        return 1
    with Image.open(io.BytesIO(data), formats=("JPEG",)) as photo:
        return orientation_of(photo)


def jpeg_header(data: bytes) -> tuple[int, int, int] | None:
    """Returns (height, width, channels) of a JPEG from its first frame header (ITU T.81, B.2.2), or None.

    Args:
        data: The file.
    """
    at = 2
    while at + 10 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            return data[at + 5] << 8 | data[at + 6], data[at + 7] << 8 | data[at + 8], data[at + 9]
        at += 1 if marker == 0xFF else 2 + (data[at + 2] << 8 | data[at + 3])
    return None


def webp_size(head: bytes) -> tuple[int, int] | None:
    """Returns (width, height) of a WebP file from its first chunk (RFC 9649, section 2), or None for other files.

    Args:
        head: The first 30 bytes of the file, or more.
    """
    if head[:4] != b"RIFF" or head[8:12] != b"WEBP" or len(head) < 30:
        return None
    if head[12:16] == b"VP8X":
        return 1 + int.from_bytes(head[24:27], "little"), 1 + int.from_bytes(head[27:30], "little")
    if head[12:16] == b"VP8L":
        bits = int.from_bytes(head[21:25], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    return int.from_bytes(head[26:28], "little") & 0x3FFF, int.from_bytes(head[28:30], "little") & 0x3FFF
