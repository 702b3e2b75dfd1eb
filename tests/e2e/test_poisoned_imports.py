"""Files that were once able to stop the importer: each ends, says why, and stands in nobody's way."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.city import City
from tests.support.imports import NDJSON, XLSX, csv, ended, problems, upload
from tests.unit.test_rows import workbook

CSV = "text/csv"


def damaged(name: str, damage: Callable[[bytes], bytes]) -> bytes:
    """A workbook, one part of which is broken."""
    made = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(workbook(["content"], ["x"]))) as good, zipfile.ZipFile(made, "w") as bad:
        for part in good.namelist():
            bad.writestr(part, damage(good.read(part)) if part == name else good.read(part))
    return made.getvalue()


NESTED = b'{"source_ref":"a","x":' + b"[" * 300 + b"]" * 300 + b"}\n"
REFUSED_ROWS: dict[str, tuple[bytes, str, dict[str, Any]]] = {
    "a ref that is no text": (b"content,source_ref,created_at\nx,a\xffb,never\n", CSV, {"charset": "utf-8"}),
    "a ref with a NUL": (b"content,source_ref\nx,a\0b\n", CSV, {}),
    "a ref with a NUL in JSON": (b'{"source_ref":"a\\u0000b"}\n', NDJSON, {}),
    "a time after the last one": (b"content,raised_at\nx,9999-12-31T23:59:59-08:00\n", CSV, {}),
    "coordinates that are no numbers": (b"content,lon,lat\nx,nan,nan\n", CSV, {}),
    "JSON without a bottom": (NESTED, NDJSON, {}),
    "a line without an end": (b'{"content":"' + b"x" * 2_500_000 + b'"}\n', NDJSON, {}),
    "a zone of three hundred letters": (
        b"content,z,created_at\nx," + b"a" * 300 + b",2026-11-01\n", CSV,
        {"map": {"columns": {"content": "content", "zone": "z"}}},
    ),
}  # fmt: skip
FAILED_FILES = {
    "half a letter at the end": ("content\nx\n".encode("utf-16") + b"A", CSV, {"charset": "utf-16"}),
    "a sheet that was cut off": (
        damaged("xl/worksheets/sheet1.xml", lambda part: part[: part.rfind(b"<row")] + b'<row r="2"><c r='), XLSX, {},
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED_ROWS)
async def test_one_bad_row_is_refused_and_the_import_ends(city: City, what: str) -> None:
    data, media_type, query = REFUSED_ROWS[what]
    made = await upload(city, data, "poison", media_type, **query)
    done = await ended(city, made.body["import_id"], "poison")
    assert (done["state"], done["registered"], done["refused"]) == ("DONE", 0, 1)
    (problem,) = await problems(city, made.body["import_id"], "poison")
    assert problem["source_ref"] in (None, "a") and len(str(problem)) < 600
    assert not city.running["intake"].stopped


@pytest.mark.parametrize("what", FAILED_FILES)
async def test_a_file_that_breaks_off_fails_and_the_next_one_goes_on(city: City, what: str) -> None:
    data, media_type, query = FAILED_FILES[what]
    made = await upload(city, data, "poison", media_type, **query)
    if made.status == 202:
        done = await ended(city, made.body["import_id"], "poison")
        assert done["state"] == "FAILED" and done["reason"]
    else:
        assert made.status == 422
    good = await upload(city, csv("x"), "poison", CSV)
    assert (await ended(city, good.body["import_id"], "poison"))["state"] == "DONE"


async def test_a_map_of_other_things_than_texts_is_refused(city: City) -> None:
    for bad in ({"constants": {"kind": 1}}, {"columns": {"content": ["content"]}}, {"columns": []}, [], 5):
        made = await upload(city, csv("x"), "poison", CSV, map=bad)
        assert (made.status, made.code) == (422, "VALIDATION_FAILED")
    for personal in ("appellant.phone", "title", "content"):
        made = await upload(city, csv("x"), "poison", CSV, map={"columns": {}, "constants": {personal: "13800138000"}})
        assert made.status == 422 and b"13800138000" not in made.raw
    broken = damaged("xl/workbook.xml", lambda _: b"<broken")
    assert (await upload(city, broken, "poison", XLSX)).status == 422


async def test_a_few_bad_bytes_do_not_make_a_file_chinese_of_another_charset(city: City) -> None:
    lines = "".join(f"第{number}号楼停水了\n" for number in range(50)).encode() + b"\xff\xfe\n"
    made = await upload(city, b"content\n" + lines, "poison", CSV)
    done = await ended(city, made.body["import_id"], "poison")
    assert (done["registered"], done["refused"]) == (50, 1)


async def test_all_or_none_sees_a_ref_that_stands_for_two_things(city: City) -> None:
    data = b"content,source_ref\nx,twice\ny,once\nz,twice\n"
    made = await upload(city, data, "poison-all", CSV, mode="all")
    done = await ended(city, made.body["import_id"], "poison-all")
    assert (done["state"], done["registered"]) == ("REFUSED", 0)
    (problem,) = await problems(city, made.body["import_id"], "poison-all")
    assert (problem["row"], problem["code"]) == (3, "SOURCE_REF_TAKEN")


@pytest.mark.parametrize("charset", ["utf-8", "UTF-8", "utf8", None])
async def test_a_byte_order_mark_is_no_part_of_a_name(city: City, charset: str | None) -> None:
    query = {"charset": charset} if charset else {}
    made = await upload(city, b"\xef\xbb\xbfcontent\nx\n", "poison", CSV, **query)
    assert (await ended(city, made.body["import_id"], "poison"))["registered"] == 1
