"""A peer in another language by another author: Go's sumdb/note and sumdb/tlog, built here and asked in lines."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support.missing import missing

SOURCE = Path(__file__).parent.parent / "peers" / "peer.go"
GOPATH = Path("/usr/share/gocode")


class Peer:
    """Answers requests with what the Go library says."""

    def __init__(self, program: Path) -> None:
        self._program = program

    def ask(self, requests: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        lines = "".join(json.dumps(one) + "\n" for one in requests)
        done = subprocess.run([self._program], input=lines, capture_output=True, text=True, check=True)
        return [json.loads(line) for line in done.stdout.splitlines()]


@contextmanager
def go_peer() -> Iterator[Peer]:
    """The peer, built; skips by name where Go or its package is not there."""
    go = shutil.which("go")
    if go is None or not (GOPATH / "src" / "golang.org" / "x" / "mod").is_dir():
        missing("Go with golang.org/x/mod (Debian: golang-go, golang-golang-x-mod-dev)")
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / "peer"
        environment = {**os.environ, "GO111MODULE": "off", "GOPATH": str(GOPATH), "GOFLAGS": ""}
        subprocess.run([go, "build", "-o", program, SOURCE], check=True, env=environment)
        yield Peer(program)
