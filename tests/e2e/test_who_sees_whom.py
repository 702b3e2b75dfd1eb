"""Who helps reads the matter and not the name; what is hidden from the reported unit is hidden in files too."""

from __future__ import annotations

from tests.e2e.test_privacy import PHONE, WHO, ref_of, reveal, take
from tests.support.city import City
from tests.support.files import BEIJING_GPS, PDF, attached, download, picture
from tests.support.views import settled

HELPER = {"role": "DEPARTMENT_HANDLER", "unit": "bj-housing"}


async def test_an_invited_handler_reads_the_case_and_never_the_name(city: City) -> None:
    case = await city.dispatched(appellant=WHO)
    path = f"/intake/v1/appeals/{case['appeal_id']}"
    assert (await city.post(f"{path}/participants", {"unit_id": "bj-housing"})).status == 200
    await settled(city)
    assert (await city.get(path, **HELPER)).status == 200
    assert (await reveal(city, case["appeal_id"], **HELPER)).status == 404
    assert (await reveal(city, case["appeal_id"], "ENTERPRISE_HANDLER", unit=case["lead_unit"])).body["phone"] == PHONE


async def test_files_of_a_hidden_appellant_tell_the_unit_nothing_about_them(city: City) -> None:
    case = await city.dispatched(appellant=WHO | {"confidential": True})
    await attached(city, case["appeal_id"], picture(gps=BEIJING_GPS), "王芳的自拍.jpg")
    await attached(city, case["appeal_id"], PDF, "王芳.pdf")
    await settled(city)
    unit = {"role": "ENTERPRISE_HANDLER", "unit": case["lead_unit"]}
    seen = await city.get(f"/intake/v1/appeals/{case['appeal_id']}", **unit)
    assert [(one["name"], one["position"]) for one in seen.body["attachments"]] == [(None, None)] * 2
    assert "王芳" not in seen.raw.decode() and "malicious_use" not in seen.body
    assert (await download(city, case["appeal_id"], 1, **unit)).status == 200
    withheld = await download(city, case["appeal_id"], 2, **unit)
    assert (withheld.status, withheld.code) == (409, "ATTACHMENT_WITHHELD")
    hotline = await city.get(f"/intake/v1/appeals/{case['appeal_id']}", "AGENT")
    assert [one["name"] for one in hotline.body["attachments"]] == ["王芳的自拍.jpg", "王芳.pdf"]
    assert hotline.body["attachments"][0]["position"] and hotline.body["malicious_use"] is False


async def test_a_known_name_or_number_is_masked_wherever_a_hidden_appellant_wrote_it(city: City) -> None:
    who = {"name": "欧阳惜春", "phone": "13877776002", "confidential": True}
    said = "我是欧阳惜春，电话13877776002，自来水公司停水两天了"
    case = await city.dispatched(appellant=who, content=said, title="停水")
    unit = {"role": "ENTERPRISE_HANDLER", "unit": case["lead_unit"]}
    seen = await city.get(f"/intake/v1/appeals/{case['appeal_id']}", **unit)
    assert seen.body["content"] == "我是***，电话***，自来水公司停水两天了"
    assert not [one for one in ("欧阳惜春", "13877776002") if one in seen.raw.decode()]
    assert (await city.case(case["appeal_id"]))["content"] == said


async def test_a_restricted_person_is_read_in_no_service_and_on_no_list_for_others(city: City) -> None:
    case = await city.dispatched(appellant=WHO | {"phone": "13877776001"}, channel="OPEN311")
    await city.handle(case)
    ref, unit = await ref_of(city, case["appeal_id"]), {"role": "ENTERPRISE_HANDLER", "unit": case["lead_unit"]}
    listed = f"/intake/open311/v2/requests/{case['ticket_no']}.json"
    assert (await city.get(listed, None)).status == 200
    await take(city, ref, "restrict", "li", "wang")
    await settled(city)
    file = (await city.get(f"/feedback/v1/cases/{case['appeal_id']}", **unit)).body
    assert {one["text"] for one in file["feedback"]} == {"[restricted]"}
    assert (await city.get(listed, None)).status == 404
    await take(city, ref, "restore", "li", "wang")
    await settled(city)
    file = (await city.get(f"/feedback/v1/cases/{case['appeal_id']}", **unit)).body
    assert {one["text"] for one in file["feedback"]} == {"已处理"}
