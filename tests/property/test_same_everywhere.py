"""The same log gives the same figures, bit for bit, whatever the machine's zone, locale, hash seed and batch size."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

WORK = """
import hashlib, random, sys
from datetime import datetime
import orjson
from services.chronicle import Past, life
from services.scoring_service.counting import counted
from services.scoring_service.documents import document_of
from services.scoring_service.founding import shipped
from services.scoring_service.life import life_of
from services.scoring_service.policy import read_policy
from services.scoring_service.tables import LeagueTable, made
from services.scoring_service.tallying import Shares, count_shares, summed
from shared.contracts.codes import Basis, League
from shared.contracts.envelope import BEIJING
from tests.support.invented import facts_of_life

batch = int(sys.argv[1])
past = Past(datetime(2026, 8, 19, tzinfo=BEIJING), datetime(2026, 11, 19, tzinfo=BEIJING), 300, 7)
units = past.units
lives = [facts_of_life(past, number, units) for number in range(past.lives)]
random.Random(batch).shuffle(lives)
changed = Shares()
for facts in lives:
    for start in range(0, len(facts), batch):
        count_shares(changed, life_of(facts[:start]), -1)
        count_shares(changed, life_of(facts[: start + batch]), 1)
sums = {}
for (rule, day, afternoon, unit, ground), numbers in summed(changed)[0].items():
    if rule == "LAST":
        sums[unit] = tuple(map(sum, zip(sums.get(unit, (0,) * len(numbers)), numbers)))
found = []
for document in shipped().values():
    policy = read_policy(dict(document))
    frame = LeagueTable(policy, "2026-11", League.STREET_TOWN, Basis.ALL, past.ends, ())
    found.append(document_of(made(frame, [counted(unit, unit, numbers) for unit, numbers in sums.items()])))
print(hashlib.sha256(orjson.dumps(found)).hexdigest(), len(found[0]["items"]))
"""
PLACES = (("UTC", "C", "0", 1), ("America/New_York", "C.UTF-8", "4711", 3), ("Asia/Kathmandu", "POSIX", "42", 50))


def figures(zone: str, locale: str, seed: str, batch: int) -> str:
    elsewhere = os.environ | {"TZ": zone, "LC_ALL": locale, "PYTHONHASHSEED": seed, "PYTHONUTF8": "1"}
    command = [sys.executable, "-c", WORK, str(batch)]
    done = subprocess.run(command, env=elsewhere, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def here() -> str:
    return figures("Asia/Shanghai", "C.UTF-8", "1", 2)


@pytest.mark.parametrize(("zone", "locale", "seed", "batch"), PLACES)
def test_the_figures_are_the_same_elsewhere(here: str, zone: str, locale: str, seed: str, batch: int) -> None:
    assert figures(zone, locale, seed, batch) == here and here.split()[1] == "7"
