"""Video and voice in ISO base media files (MP4, MOV, 3GP, M4A): metadata boxes are made empty where they stand.

ISO/IEC 14496-12: a file is boxes of length, type and content. What describes place, time and device is in `udta`,
`meta` and `uuid` boxes; each becomes a `free` box of the same length, so nothing else in the file moves.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from itertools import islice
from typing import IO

from services.intake_service.places import Point
from shared.engine.decider import Refused

TOLD = frozenset({b"udta", b"meta", b"uuid"})
HOLDING = frozenset({b"moov", b"trak", b"mdia", b"minf", b"edts", b"moof", b"traf"})
DEEPEST = 8
LONGEST_TOLD = 4 << 20
ZEROS = bytes(1 << 16)
_ISO6709 = re.compile(rb"([+-]\d{1,2}\.\d+)([+-]\d{1,3}\.\d+)")


def strip_movie(file: IO[bytes], most_boxes: int = 20_000) -> Point | None:
    """Empty the metadata boxes in place; answers with the position that they told. Raises Refused."""
    end = file.seek(0, 2)
    position = None
    boxes = list(islice(_told(file, 0, end, 0), most_boxes + 1))
    if len(boxes) > most_boxes:
        raise Refused("FILE_DAMAGED", "the video or voice file has too many parts")
    for start, header, length in boxes:
        file.seek(start + header)
        position = position or _position(file.read(min(length - header, LONGEST_TOLD)))
        file.seek(start + 4)
        file.write(b"free")
        file.seek(start + header)
        left = length - header
        while left > 0:
            left -= file.write(ZEROS[:left])
    return position


def _told(file: IO[bytes], start: int, end: int, depth: int) -> Iterator[tuple[int, int, int]]:
    """Where metadata boxes are, how long their headers are, and they themselves. Raises Refused."""
    while start + 8 <= end:
        file.seek(start)
        length, kind = struct.unpack(">I4s", file.read(8))
        header = 8
        if length == 1:
            header, length = 16, struct.unpack(">Q", file.read(8).rjust(8, b"\0"))[0]
        elif length == 0:
            length = end - start
        if length < header or start + length > end or depth > DEEPEST:
            raise Refused("FILE_DAMAGED", "the video or voice file cannot be read")
        if kind in TOLD:
            yield start, header, length
        elif kind in HOLDING:
            yield from _told(file, start + header, start + length, depth + 1)
        start += length


def _position(told: bytes) -> Point | None:
    found = _ISO6709.search(told)
    if found is None:
        return None
    latitude, longitude = float(found[1]), float(found[2])
    return Point(longitude, latitude) if abs(latitude) <= 90 and abs(longitude) <= 180 else None
