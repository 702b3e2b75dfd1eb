"""A map for `jiesu import` is read, or one line says what is wrong with it and an example how it should be."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from services.importing import EXAMPLE_MAP, WrongMap, bodies_of, read_map
from services.intake_service.policy import import_policy
from services.intake_service.rows import RowMap, map_for

HEADER = ["category", "detail", "title", "posted_at", "message_no", "user_id"]


def written(folder: Path, content: bytes, name: str = "map.toml") -> Path:
    file = folder / name
    file.write_bytes(content)
    return file


def test_without_a_map_the_usual_names_are_left_to_the_city() -> None:
    assert read_map(None) is None


def test_a_map_is_columns_and_constants(tmp_path: Path) -> None:
    file = written(tmp_path, '[columns]\ncontent = "{a}: {b}"\n[constants]\ntitle = "灯"\n'.encode())
    assert read_map(file) == RowMap({"content": "{a}: {b}"}, {"title": "灯"})
    assert read_map(written(tmp_path, b'[columns]\ncontent = "a"\n')) == RowMap({"content": "a"}, {})


def test_the_example_is_a_map_that_works(tmp_path: Path) -> None:
    given = read_map(written(tmp_path, EXAMPLE_MAP.encode()))
    made = map_for(HEADER, given, import_policy())
    assert made.columns == tomllib.loads(EXAMPLE_MAP)["columns"] and made.constants["channel"] == "IMPORT"


NO_MAPS = [b"", b"columns", b"[columns", b'columns = "content"', b"columns = 7", b"[constants]\nkind = 'HELP'", b"\xff"]
NO_MAPS += [b"[columns]\ncontent = 'a'\n[constants", b"constants = 7\n[columns]\ncontent = 'a'"]


@pytest.mark.parametrize("content", NO_MAPS)
def test_what_is_no_map_is_said_in_one_line_with_an_example(tmp_path: Path, content: bytes) -> None:
    file = written(tmp_path, content)
    with pytest.raises(WrongMap) as wrong:
        read_map(file)
    said, _, example = str(wrong.value).partition("\n")
    assert said.startswith(f"{file}: ") and said.endswith("; an example:") and example == EXAMPLE_MAP
    assert wrong.value.__suppress_context__, "the reader is shown no traceback of ours"


def test_a_map_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(WrongMap, match="No such file"):
        read_map(tmp_path / "none.toml")


def test_registrations_of_a_file_are_those_of_its_good_rows(tmp_path: Path) -> None:
    file = written(tmp_path, b"content,created_at\na,2026-11-23\nb,never\nc,\n", "appeals.CSV")
    assert [one["content"] for one in bodies_of(file)] == ["a", "c"]


def test_a_file_whose_name_says_nothing_or_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    with pytest.raises(WrongMap, match=r"the name ends in \.csv, "):
        list(bodies_of(written(tmp_path, b"content\na\n", "appeals.txt")))
    with pytest.raises(WrongMap, match="no column gives `content`"):
        list(bodies_of(written(tmp_path, b"a\nb\n", "appeals.csv")))
