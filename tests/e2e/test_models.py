"""A classifier helps to dispatch: learned from the log, kept, put in force by an event, taken back by another."""

from __future__ import annotations

import io
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from services.routing_service.classifier import Classifier, load
from services.routing_service.directory import read_directory
from services.routing_service.model import object_of, version_of
from services.routing_service.outcomes import learned_from, outcomes
from services.routing_service.training import Example, TooLittle, train
from tests.support.city import City, Reply

NewCity = Callable[..., AbstractAsyncContextManager[City]]
MODELS = "/routing/v1/models"
SILENT = lambda *_: None  # noqa: E731
BINARY = {"Content-Type": "application/octet-stream"}
SAID = {
    "bj-gas": ("壁挂炉打不着火", "厨房灶具点火后自己熄灭", "户内管道有嘶嘶声"),
    "bj-power": ("楼道灯全灭", "电表箱一直冒烟", "整栋楼跳闸"),
}
NO_RULE = "厨房灶具点不着，壁挂炉也打不着火"


def model(folder: Path, weight: str = "") -> bytes:
    """A model of duties that the shipped rules have no words for."""
    examples = [
        Example(f"{text}{weight}", f"{text}，第{number}次反映", duty, f"{duty}{number}")
        for duty, texts in SAID.items()
        for number in range(12)
        for text in texts
    ]
    trained = train(examples, {"data": "0" * 64, "rows": len(examples)}, SILENT)
    trained.model.save(folder / "model.npz")
    return (folder / "model.npz").read_bytes()


def written(made: Classifier) -> bytes:
    file = io.BytesIO()
    made.write(file)
    return file.getvalue()


async def stored(city: City, file: bytes) -> Reply:
    return await city.send("POST", MODELS, "MUNICIPAL_ADMIN", data=file, headers=BINARY)


async def in_force(city: City, version: str | None) -> dict[str, Any]:
    reply = await city.until(lambda: city.get(MODELS, "ANALYST"), lambda r: r.body["active"] == version)
    return dict(reply.body)


async def proposed(city: City, content: str) -> dict[str, Any]:
    appeal = await city.register(title="反映问题", content=content)
    path = f"/routing/v1/orders/{appeal['appeal_id']}/proposals"
    return dict((await city.until(lambda: city.get(path), lambda reply: reply.status == 200)).body)


async def test_a_model_is_kept_put_in_force_and_taken_back(new_city: NewCity, tmp_path: Path) -> None:
    async with new_city() as city:
        assert (await proposed(city, NO_RULE))["model_version"] is None
        first = (await stored(city, model(tmp_path))).body["model_version"]
        second = (await stored(city, model(tmp_path, "！"))).body["model_version"]
        assert first != second and (await stored(city, model(tmp_path))).body["model_version"] == first
        assert (await in_force(city, None))["items"][0]["measures"]["macro_f1"]
        for version in (first, second):
            assert (await city.post(f"{MODELS}/{version}/activate", {}, "MUNICIPAL_ADMIN")).body["state"] == version
        told = await in_force(city, second)
        assert [one["model_version"] for one in told["items"] if one["active"]] == [second]
        with_help = await proposed(city, NO_RULE)
        assert with_help["model_version"] == second and with_help["items"][0]["unit_id"] == "bj-gas"
        (why,) = (one for one in with_help["items"][0]["why"] if one.startswith("model"))
        assert second in why and "bj-gas" in why
        assert "灶具" not in why and "挂炉" not in why  # a resident's words stay sealed unless the catalogue has them
        back = await city.post(f"{MODELS}/rollback", {"reason": "误派增多"}, "MUNICIPAL_ADMIN")
        assert back.body["state"] == first
        await in_force(city, first)
        assert (await proposed(city, NO_RULE))["model_version"] == first
        assert (await city.post(f"{MODELS}/rollback", {"reason": "x"}, "MUNICIPAL_ADMIN")).body["state"] == "NONE"
        await in_force(city, None)
        assert (await proposed(city, NO_RULE))["model_version"] is None
        empty = await city.post(f"{MODELS}/rollback", {"reason": "x"}, "MUNICIPAL_ADMIN")
        assert (empty.status, empty.code) == (409, "NO_CLASSIFIER")


async def test_what_is_no_model_is_refused_and_roles_are_kept(city: City, tmp_path: Path) -> None:
    good = load(io.BytesIO(model(tmp_path)))
    wrong_models = [
        replace(good, bias=good.bias[:1]),
        replace(good, tables=[table[:, :1] for table in good.tables]),
        replace(good, used=[used + (1 << 19) for used in good.used]),
        replace(good, about=good.about | {"calibration": [["a", "b"]]}),
        replace(good, bias=good.bias * float("nan")),
    ]
    arrays = io.BytesIO()
    np.save(arrays, np.zeros(3))
    for wrong in (b"", b"not a model", model(tmp_path)[:2000], arrays.getvalue(), *map(written, wrong_models)):
        reply = await stored(city, wrong)
        assert (reply.status, reply.code) == (422, "VALIDATION_FAILED")
    assert (await city.post(f"{MODELS}/clf-000000000000/activate", {}, "MUNICIPAL_ADMIN")).status == 404
    for role in ("HOTLINE_SUPERVISOR", "STREET_HANDLER", "ANALYST"):
        assert (await city.post(f"{MODELS}/clf-000000000000/activate", {}, role)).status == 403


async def test_without_its_file_the_rules_alone_serve(new_city: NewCity, tmp_path: Path) -> None:
    async with new_city() as city:
        version = (await stored(city, model(tmp_path, "？"))).body["model_version"]
        kept = await city.until(lambda: city.get(MODELS, "ANALYST"), lambda reply: reply.body["items"])
        (digest,) = (one["sha256"] for one in kept.body["items"])
        await city.running["routing"].objects.remove(object_of(digest))
        assert (await city.post(f"{MODELS}/{version}/activate", {}, "MUNICIPAL_ADMIN")).status == 200
        await in_force(city, version)
        told = await proposed(city, "小区用水困难两天了，自来水公司电话打不通")
        assert told["model_version"] is None and told["items"][0]["unit_id"] == "bj-water"


async def test_a_model_is_learned_from_who_led_in_the_end(new_city: NewCity) -> None:
    async with new_city() as city:
        routing = city.running["routing"]
        contents = [f"小区用水困难第{n}天，自来水公司不接电话" for n in range(6)]
        contents += [f"小区停电第{n}天，供电公司不接电话" for n in range(6)]
        cases = [await city.dispatched(title="反映", content=content) for content in contents]
        async with routing.pool.acquire() as connection:
            desk = await read_directory(connection, city.clock.now(), routing.objects)
        with pytest.raises(TooLittle):
            learned_from(await outcomes(routing, SILENT), desk, SILENT)
        moved = cases[0]
        said = {"ground": "DUTY", "reason": "属排水"}
        assert (await city.as_unit(moved, f"/routing/v1/orders/{moved['appeal_id']}/object", said)).status == 200
        path = f"/routing/v1/orders/{moved['appeal_id']}/objection/uphold"
        assert (await city.post(path, {"unit_id": "bj-power", "reason": "属电力"}, "MUNICIPAL_ADMIN")).status == 200
        for case in cases:
            shown = await city.until_state(case["appeal_id"], "DISPATCHED")
            await city.until(
                lambda case=case: city.case(case["appeal_id"]),  # type: ignore[misc]
                lambda c, m=moved: c["appeal_id"] != m["appeal_id"] or c["lead_unit"] == "bj-power",  # type: ignore[misc]
            )
            shown = await city.case(case["appeal_id"])
            await city.handle(shown)
            await city.until_state(case["appeal_id"], "CALLBACK_DUE")
            assert (await city.callback(shown)).status == 200
        for case in cases:
            await city.until(
                lambda case=case: city.get(f"/routing/v1/orders/{case['appeal_id']}"),  # type: ignore[misc]
                lambda reply: reply.body["state"] == "CLOSED",
            )
        found = await outcomes(routing, SILENT)
        assert {one.past.appeal_id: one.duty for one in found}[moved["appeal_id"]] == "bj-power"
        trained = learned_from(found, desk, SILENT)
        assert set(trained.model.categories) == {"bj-water", "bj-power"} and trained.model.about["calibration"]
        file = io.BytesIO()
        trained.model.write(file)
        file.seek(0)
        assert load(file).about["rows"] == 12 and version_of("ab" * 32) == "clf-abababababab"
