"""Files as residents send them: photos with a position, forms with anything in them, and what the store then holds."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import ExifTags, Image

from tests.support.city import City, Reply

BOUNDARY = "0123456789abcdef"
FORM = f"multipart/form-data; boundary={BOUNDARY}"
PDF = b"%PDF-1.7\n1 0 obj\n<<>>\nendobj\ntrailer\n<<>>\n%%EOF\n"
BEIJING_GPS = {1: "N", 2: (39.0, 54.0, 15.12), 3: "E", 4: (116.0, 24.0, 26.64)}
DEVICE = "SECRETPHONE-9000"
Part = tuple[str, str | None, bytes]


def picture(
    form: str = "JPEG", size: tuple[int, int] = (40, 20), gps: dict[int, Any] | None = None, **more: Any
) -> bytes:
    """A picture; with a camera's name and this position in its EXIF, if one is given."""
    image = Image.new("RGB", size, (200, 30, 30))
    if gps is not None:
        exif = image.getexif()
        exif[ExifTags.Base.Model] = DEVICE
        exif.get_ifd(ExifTags.IFD.GPSInfo).update(gps)
        more["exif"] = exif
    made = io.BytesIO()
    image.save(made, form, **more)
    return made.getvalue()


def box(kind: bytes, *parts: bytes) -> bytes:
    """An ISO base media box."""
    content = b"".join(parts)
    return (8 + len(content)).to_bytes(4, "big") + kind + content


FTYP = box(b"ftyp", b"isom\0\0\x02\0isomiso2mp41")


def part(name: str, filename: str | None, content: bytes) -> bytes:
    """One part of a form; without a file name it is a field."""
    disposition = f'Content-Disposition: form-data; name="{name}"'
    if filename is not None:
        disposition += f'; filename="{filename}"\r\nContent-Type: application/octet-stream'
    return f"--{BOUNDARY}\r\n{disposition}\r\n\r\n".encode() + content + b"\r\n"


def form(*parts: Part) -> bytes:
    return b"".join(part(*one) for one in parts) + f"--{BOUNDARY}--\r\n".encode()


async def post_form(city: City, path: str, data: bytes, role: str | None = "AGENT", **more: Any) -> Reply:
    headers = {"Content-Type": FORM} | more.pop("headers", {})
    return await city.send("POST", path, role, data=data, headers=headers, **more)


async def attach(city: City, appeal_id: str, content: bytes, name: str = "a.jpg", **more: Any) -> Reply:
    """An officer adds a file."""
    path = f"/intake/v1/appeals/{appeal_id}/attachments"
    return await post_form(city, path, form(("file", name, content)), **more)


async def attached(city: City, appeal_id: str, content: bytes, name: str = "a.jpg", **more: Any) -> dict[str, Any]:
    """The same, when it must go well; the answer, and its `position_header`."""
    reply = await attach(city, appeal_id, content, name, **more)
    assert reply.status == 201, reply.raw
    return reply.body | {"position_header": reply.headers["Appeal-Position"]}


async def download(city: City, appeal_id: str, number: int = 1, role: str | None = "AUDITOR", **more: Any) -> Reply:
    return await city.get(f"/intake/v1/appeals/{appeal_id}/attachments/{number}", role, **more)


def store(city: City) -> Path:
    return city.running["intake"].settings.home / "objects"


def kept(city: City, appeal_id: str) -> Sequence[Path]:
    """What the store holds of an appeal, half-written files included."""
    return sorted((store(city) / "attachments" / appeal_id).glob("*"))
