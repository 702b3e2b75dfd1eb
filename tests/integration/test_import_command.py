"""`jiesu import` as an operator meets it: it hands a file over and says what became of it; a mistake is one line."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.integration.test_process import START_SECONDS, home, jiesu, running
from tests.support.ports import free_port

ROWS = [f"停水{n},{n}" for n in range(30)]


def written(folder: Path, name: str, text: str) -> str:
    (folder / name).write_text(text, encoding="utf-8")
    return str(folder / name)


async def imported(folder: Path, port: int, *words: str) -> tuple[int | None, str]:
    """How `jiesu import` ended, and all that it said."""
    url = f"http://127.0.0.1:{port}"
    process = await jiesu("import", *words, "--url", url, JIESU_HOME=str(folder), COLUMNS="300")
    printed, errors = await asyncio.wait_for(process.communicate(), START_SECONDS)
    return process.returncode, (printed + errors).decode()


async def test_a_file_is_imported_again_and_only_whole_and_what_is_wrong_is_said() -> None:
    with home() as folder:
        port, header = free_port(), "detail,number"
        mapping = written(folder, "map.toml", '[columns]\ncontent = "{detail}！"\nsource_ref = "number"\n')
        good = written(folder, "good.csv", "\n".join([header, *ROWS]))
        bad = written(folder, "bad.csv", "\n".join([header, "井盖,a b", "路灯,new"]))
        async with running(folder, port):
            code, said = await imported(folder, port, good, "--map", mapping)
            assert code == 0 and "registered 30" in said and "already there" not in said, said
            code, said = await imported(folder, port, good, "--map", mapping)
            assert code == 0 and "already there 30" in said and "registered" not in said, said
            code, said = await imported(folder, port, bad, "--map", mapping, "--all-or-none")
            assert code == 1 and "refused 1" in said and "none was registered" in said, said
            code, said = await imported(folder, port, bad, "--map", mapping)
            assert code == 1 and "registered 1" in said and "refused 1" in said, said
            code, said = await imported(folder, port, written(folder, "empty.csv", ""))
            assert code == 1 and "the file is empty" in said and "Traceback" not in said, said
        code, said = await imported(folder, port, good, "--map", good)
        assert code == 1 and said.count("good.csv") == 1 and "[columns]" in said and "Traceback" not in said, said
        code, said = await imported(folder, port, written(folder, "a.txt", ""))
        assert code == 1 and ".csv, .ndjson" in said and "Traceback" not in said, said
