"""The packets of a video file, listed and decoded."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import av


class Packet(NamedTuple):
    """One packet of the video stream, in the order of the file; stamps are in ticks of the stream."""

    pts: int | None
    dts: int | None
    position: int | None  # of its first byte in the file
    size: int
    is_key: bool
    is_discarded: bool
    is_corrupt: bool


def list_packets(container: Any, stream: Any) -> list[Packet]:
    """Returns the packets that have data, as far as the file can be read; nothing is decoded."""
    packets = []
    try:
        for packet in container.demux(stream):
            if packet.size:
                position = packet.pos if packet.pos is not None and packet.pos >= 0 else None
                flags = packet.is_keyframe, packet.is_discard, packet.is_corrupt
                packets.append(Packet(packet.pts, packet.dts, position, packet.size, *map(bool, flags)))
    except av.FFmpegError:  # the rest of the file is unreadable
        pass
    return packets


def numbered(container: Any, stream: Any, first: int = 0) -> Iterator[tuple[int, Any]]:
    """Yields (number, packet) of the packets with data, counted from ``first``, as far as the file can be read."""
    number = first
    try:
        for packet in container.demux(stream):
            if packet.size:  # an empty packet would tell the decoder that the file ends
                yield number, packet
                number += 1
    except av.FFmpegError:
        return


def decoded(
    stream: Any, packets: Iterator[tuple[int, Any]], refused: set[int] | None = None
) -> Iterator[tuple[int, Any]]:
    """Yields (number of its packet, frame) in the order of presentation.

    Args:
        stream: The video stream, whose codec context copies ``opaque``.
        packets: (number, packet).
        refused: Is given the packets that the decoder refuses.
    """
    for number, packet in packets:
        packet.opaque = [number]  # a new object for each packet: PyAV finds it by its id, and small numbers share one
        try:
            for frame in packet.decode():
                yield frame.opaque[0], frame
        except av.FFmpegError:
            if refused is not None:
                refused.add(number)
    try:
        for frame in stream.codec_context.decode(None):  # what the decoder still holds
            yield frame.opaque[0], frame
    except (av.FFmpegError, EOFError):
        return
