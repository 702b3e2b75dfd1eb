"""Files of an appeal: who may send and fetch them, what is kept of them, and that nobody else ever reads them."""

from __future__ import annotations

import io
from typing import Any

from PIL import Image

from services.intake_service.policy import attachment_policy
from tests.support.city import City, Reply
from tests.support.files import BEIJING_GPS, DEVICE, PDF, attach, attached, download, form, kept, picture, post_form
from tests.support.views import settled

PHOTO = picture(gps=BEIJING_GPS)
NAME = "我家门口.jpg"
POSITION = {"longitude": 116.4074, "latitude": 39.9042}


async def send_by_code(city: City, made: dict[str, Any], content: bytes, name: str = NAME, **headers: str) -> Reply:
    path = f"/intake/v1/track/{made['ticket_no']}/attachments"
    data = form(("file", name, content))
    return await post_form(city, path, data, None, headers={"X-Tracking-Code": made["tracking_code"]} | headers)


async def fetch_by_code(city: City, made: dict[str, Any], number: int, **headers: str) -> Reply:
    path = f"/intake/v1/track/{made['ticket_no']}/attachments/{number}"
    return await city.get(path, None, headers={"X-Tracking-Code": made["tracking_code"]} | headers)


def is_the_photo_and_nothing_else(reply: Reply, made: dict[str, Any]) -> bool:
    """The picture came, to be saved, under a name of ours, and says nothing of place and device."""
    shown = Image.open(io.BytesIO(reply.raw))
    headers = reply.headers
    assert (reply.status, headers["Content-Type"], shown.size) == (200, "image/jpeg", (40, 20))
    assert headers["Content-Disposition"] == f'attachment; filename="{made["ticket_no"]}-1.jpg"'
    assert (headers["X-Content-Type-Options"], headers["Cache-Control"]) == ("nosniff", "no-store")
    assert int(headers["Content-Length"]) == len(reply.raw)
    assert not shown.getexif() and DEVICE.encode() not in reply.raw
    return True


async def test_an_officer_adds_a_photo_and_gets_back_the_picture_alone(city: City) -> None:
    made = await city.register()
    answer = await attached(city, made["appeal_id"], PHOTO, NAME)
    assert (answer["number"], answer["kind"], answer["scan"], answer["state"]) == (
        1,
        "PHOTO",
        "UNSCANNED",
        "REGISTERED",
    )
    assert answer["position"] == POSITION, "offered, where the photo had one"
    reply = await download(city, made["appeal_id"], headers={"If-Position": answer["position_header"]})
    assert is_the_photo_and_nothing_else(reply, made) and len(reply.raw) == answer["bytes"]


async def test_the_appellant_adds_a_photo_with_the_code_and_gets_back_the_picture_alone(city: City) -> None:
    made = await city.register()
    sent = await send_by_code(city, made, PHOTO)
    assert (sent.status, sent.body["number"], sent.body["position"]) == (201, 1, POSITION)
    position = {"If-Position": sent.headers["Appeal-Position"]}
    assert is_the_photo_and_nothing_else(await fetch_by_code(city, made, 1, **position), made)
    wrong = made | {"tracking_code": "0000-0000"}
    assert [(await send_by_code(city, wrong, PHOTO)).status, (await fetch_by_code(city, wrong, 1)).status] == [404, 404]


async def test_the_case_and_the_tracking_page_list_what_was_sent(city: City) -> None:
    made = await city.register()
    await attached(city, made["appeal_id"], PHOTO, NAME)
    sent = await send_by_code(city, made, PDF, "合同.pdf")
    position = {"If-Position": sent.headers["Appeal-Position"]}
    path = f"/intake/v1/track/{made['ticket_no']}"
    page = (await city.get(path, None, headers={"X-Tracking-Code": made["tracking_code"]} | position)).body
    case = (await city.get(f"/intake/v1/appeals/{made['appeal_id']}", headers=position)).body
    told = [(one["number"], one["kind"], one["name"], one["position"]) for one in case["attachments"]]
    assert told == [(1, "PHOTO", NAME, POSITION), (2, "DOCUMENT", "合同.pdf", None)]
    assert page["attachments"] == case["attachments"]


async def test_a_partner_adds_and_fetches_files_of_its_own_appeals_alone(city: City) -> None:
    mine, partner = await city.register(), {"role": "INTEGRATOR", "sub": "partner-1"}
    theirs = await city.post("/intake/v1/appeals", city.appeal(), **partner)
    assert (await attach(city, theirs.body["appeal_id"], PHOTO, **partner)).status == 201
    await attached(city, mine["appeal_id"], PHOTO)
    await settled(city)
    assert (await download(city, theirs.body["appeal_id"], **partner)).status == 200
    assert (await download(city, mine["appeal_id"], **partner)).status == 404
    assert (await attach(city, mine["appeal_id"], PHOTO, **partner)).status == 404
    assert len(kept(city, mine["appeal_id"])) == 1


async def test_the_unit_in_whose_hands_the_order_is_fetches_files_and_another_unit_finds_nothing(city: City) -> None:
    case = await city.dispatched()
    await attached(city, case["appeal_id"], PHOTO)
    await settled(city)
    mine = await download(city, case["appeal_id"], role="ENTERPRISE_HANDLER", unit=case["lead_unit"])
    other = await download(city, case["appeal_id"], role="STREET_HANDLER", unit="bj-110101008")
    assert (mine.status, other.status, other.code) == (200, 404, "NOT_FOUND")
    assert (await download(city, case["appeal_id"], 2)).status == 404
    shown = await attach(city, case["appeal_id"], PHOTO, role="ENTERPRISE_HANDLER", unit=case["lead_unit"])
    assert (shown.status, shown.body["number"]) == (201, 2)


async def test_after_the_end_a_file_is_refused_and_not_kept(city: City) -> None:
    made = await city.register()
    assert (await city.post(f"/intake/v1/appeals/{made['appeal_id']}/withdraw", {"reason": "已解决"})).status == 200
    for reply in (await attach(city, made["appeal_id"], PHOTO), await send_by_code(city, made, PHOTO)):
        assert (reply.status, reply.code) == (409, "ILLEGAL_TRANSITION")
    assert not kept(city, made["appeal_id"])


async def test_one_file_too_many_is_refused_and_not_kept(city: City) -> None:
    made, most = await city.register(), attachment_policy().most_each
    numbers = [(await attached(city, made["appeal_id"], PDF))["number"] for _ in range(most)]
    reply = await attach(city, made["appeal_id"], PDF)
    assert (numbers, reply.status, reply.code) == ([*range(1, 21)], 409, "ATTACHED_ENOUGH")
    assert len(kept(city, made["appeal_id"])) == most


async def test_a_file_sent_again_is_the_same_file_and_is_kept_once(city: City) -> None:
    made, key = await city.register(), {"Idempotency-Key": "the-photo"}
    first, again = [await attach(city, made["appeal_id"], PHOTO, headers=key) for _ in range(2)]
    assert again.raw == first.raw and again.headers["Idempotent-Replayed"] == "true"
    assert len(kept(city, made["appeal_id"])) == 1
    other = await attach(city, made["appeal_id"], PDF, headers=key)
    assert (other.status, other.code) == (422, "IDEMPOTENCY_KEY_REUSED")
    assert len(kept(city, made["appeal_id"])) == 1


async def test_a_file_for_no_appeal_is_kept_nowhere(city: City) -> None:
    nowhere = "01890000-0000-7000-8000-000000000000"
    assert (await attach(city, nowhere, PHOTO)).status == 404
    assert not kept(city, nowhere)
