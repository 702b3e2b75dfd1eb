"""What a file is, by its content, and the file without what cameras and phones write into it.

A photo's or video's own position is offered to whoever sends it; what is kept does not have it. Documents, and voice
and video in other containers, are kept as they come.
"""

from __future__ import annotations

import struct
import tempfile
import warnings
import zipfile
from dataclasses import dataclass
from pathlib import PurePath
from typing import IO, Any

import puremagic
from PIL import ExifTags, Image, ImageOps

from services.intake_service.movies import strip_movie
from services.intake_service.places import Point
from services.intake_service.policy import AttachmentPolicy
from shared.engine.decider import Refused

HEAD_BYTES = 4096
FORMATS = {"image/jpeg": "JPEG", "image/png": "PNG", "image/webp": "WEBP"}
BOXES = frozenset({"video/mp4", "video/quicktime", "video/3gpp", "audio/mp4"})
OFFICE = {"docx": "word/", "xlsx": "xl/", "pptx": "ppt/"}
MARKS = {"wav": b"WAVE", "webp": b"WEBP", "webm": b"webm"}
STRIPPED = FORMATS.keys() | BOXES
"""Media types that are kept without what they say about people."""
QUALITY = 90


@dataclass(frozen=True)
class Medium:
    """A file that may be kept: what it is, where it says it was taken, and its bytes without that."""

    kind: str
    media_type: str
    ending: str
    file: IO[bytes]
    position: Point | None = None


def recognised(file: IO[bytes], name: str | None, policy: AttachmentPolicy) -> Medium:
    """What the file is, as it came. Raises Refused for what is not on the list."""
    file.seek(0)
    try:
        endings = [match.extension.lstrip(".") for match in puremagic.magic_string(file.read(HEAD_BYTES))]
    except (puremagic.PureError, ValueError):
        endings = []
    said = PurePath(name or "").suffix.lstrip(".").lower()
    ending = said if said in endings else next((one for one in endings if one in policy.types), "")
    if ending not in policy.types or not _is_really(ending, file):
        raise Refused("FILE_TYPE_UNKNOWN", f"by its content it is none of {', '.join(policy.types)}")
    kind, media_type = policy.types[ending]
    return Medium(kind, media_type, ending, file)


def _is_really(ending: str, file: IO[bytes]) -> bool:
    """A second look where one container holds many things: zip, RIFF, Matroska."""
    file.seek(0)
    head = file.read(64)
    if ending in OFFICE:
        try:
            with zipfile.ZipFile(file) as archive:
                names = archive.namelist()
        except (zipfile.BadZipFile, ValueError, NotImplementedError):
            return False
        return "[Content_Types].xml" in names and any(name.startswith(OFFICE[ending]) for name in names)
    return MARKS.get(ending, b"") in head


def stripped(medium: Medium, policy: AttachmentPolicy) -> Medium:
    """The same without what it says about place, time and device. Raises Refused for what cannot be read."""
    if medium.media_type in FORMATS:
        file, position = _picture(medium.file, FORMATS[medium.media_type], policy.most_pixels)
        return Medium(medium.kind, medium.media_type, medium.ending, file, position)
    if medium.media_type in BOXES:
        position = strip_movie(medium.file, policy.most_boxes)
        return Medium(medium.kind, medium.media_type, medium.ending, medium.file, position)
    return medium


def _picture(file: IO[bytes], form: str, most_pixels: int) -> tuple[IO[bytes], Point | None]:
    """Written anew: nothing but the picture comes through."""
    file.seek(0)
    try:
        with warnings.catch_warnings(), Image.open(file, formats=(form,)) as image:
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            if image.width * image.height > most_pixels:
                raise Refused("PICTURE_TOO_LARGE", f"a picture has at most {most_pixels} pixels")
            position, upright = _described(image)
            clean = tempfile.TemporaryFile()  # noqa: SIM115 - whoever asked for it closes it
            upright.info.clear()
            quality = {} if form == "PNG" else {"quality": QUALITY}
            upright.save(clean, form, exif=b"", **quality)
            return clean, position
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise Refused("PICTURE_TOO_LARGE", f"a picture has at most {most_pixels} pixels") from None
    except (OSError, ValueError, SyntaxError) as error:
        raise Refused("FILE_DAMAGED", "the picture cannot be read") from error


def _described(image: Image.Image) -> tuple[Point | None, Image.Image]:
    """Where it was taken, and the picture the right way up; odd descriptions say nothing."""
    try:
        return _taken_at(image.getexif()), ImageOps.exif_transpose(image)
    except (struct.error, TypeError, AttributeError, KeyError, ZeroDivisionError):
        return None, image


def _taken_at(exif: Image.Exif) -> Point | None:
    gps = exif.get_ifd(ExifTags.IFD.GPSInfo)
    longitude, latitude = _degrees(gps, 4, 3, "W"), _degrees(gps, 2, 1, "S")
    if longitude is None or latitude is None or not (abs(longitude) <= 180 and abs(latitude) <= 90):
        return None
    return Point(longitude, latitude)


def _degrees(gps: Any, value: int, reference: int, negative: str) -> float | None:
    """Exif 2.32, GPS attribute information: degrees, minutes and seconds, with N, S, E or W."""
    try:
        degrees, minutes, seconds = (float(part) for part in gps[value])
    except (KeyError, TypeError, ValueError, ZeroDivisionError):
        return None
    angle = degrees + minutes / 60 + seconds / 3600
    return -angle if str(gps.get(reference, "")).upper().startswith(negative) else angle
