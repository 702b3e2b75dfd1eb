"""From GeoReport to us and back: a form becomes an appeal, a query becomes conditions, a case becomes a request."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import orjson
from pydantic import ValidationError
from sqlalchemy import RowMapping

from services.intake_service.georeport import Refusal
from services.intake_service.policy import GeoService, georeport_policy
from services.intake_service.registration import AppealBody
from services.intake_service.search import point_of
from services.intake_service.views import CASES
from shared.contracts.codes import ENDED, CaseState
from shared.contracts.envelope import rfc3339
from shared.engine.joined import split

TAG = "open311:"
ROUNDED = 3


@dataclass(frozen=True)
class Sought:
    """The query of GeoReport and its extensions."""

    service_request_id: str | None = None
    service_code: str | None = None
    start_date: str | None = None
    end_date: str | None = None
    status: str | None = None
    updated_after: str | None = None
    updated_before: str | None = None
    page: str | None = None
    page_size: str | None = None
    api_key: str | None = None


def service_item(one: GeoService) -> dict[str, Any]:
    return {
        "service_code": one.code,
        "service_name": one.name,
        "description": one.description,
        "metadata": bool(one.attributes),
        "type": "realtime",
        "keywords": one.keywords,
        "group": one.group,
    }


def known_service(code: str) -> GeoService:
    if (service := georeport_policy().services.get(code)) is None:
        raise Refusal(404, "service_code was not found")
    return service


def appeal_of(fields: Mapping[str, str]) -> AppealBody:
    if "service_code" not in fields:
        raise Refusal(400, "service_code was not provided")
    service = known_service(fields["service_code"])
    said = [fields.get("description") or service.name]
    for one in service.attributes:
        value = fields.get(f"attribute[{one['code']}]")
        if one["required"] and not value:
            raise Refusal(400, f"attribute[{one['code']}] was not provided")
        if value:
            said.append(f"{one['description']}：{value}")
    said += [f"media_url: {fields['media_url']}"] if fields.get("media_url") else []
    name = " ".join(filter(None, (fields.get("last_name"), fields.get("first_name"))))
    who = {"name": name or None, "phone": fields.get("phone"), "email": fields.get("email")}
    body = {
        "kind": "HELP",
        "channel": "OPEN311",
        "title": service.name,
        "content": "\n".join(said),
        "category_path": (service.category,) if service.category else (),
        "tags": (TAG + service.code,),
        "location": _location(fields),
        "appellant": {key: value for key, value in who.items() if value},
    }
    try:
        return AppealBody.model_validate_json(orjson.dumps(body))
    except ValidationError as error:
        where = ".".join(str(part) for part in error.errors(include_input=False)[0]["loc"])
        raise Refusal(400, f"{where} is not acceptable") from None


def _location(fields: Mapping[str, str]) -> dict[str, Any]:
    place: dict[str, Any] = {"address": fields["address_string"]} if fields.get("address_string") else {}
    if fields.get("lat") and fields.get("long"):
        try:
            place |= {"latitude": float(fields["lat"]), "longitude": float(fields["long"])}
        except ValueError:
            raise Refusal(400, "lat and long must be numbers") from None
    if fields.get("address_id"):
        place["site"] = fields["address_id"]
    if not place:
        raise Refusal(400, "lat and long, address_string or address_id must be provided")
    return place


def conditions_of(sought: Sought, now: datetime) -> list[Any]:
    if sought.service_request_id:
        return [CASES.c.ticket_no.in_(sought.service_request_id.split(","))]
    end = _moment(sought.end_date, "end_date") or now
    start = _moment(sought.start_date, "start_date") or end - timedelta(days=georeport_policy().days)
    start = max(start, end - timedelta(days=georeport_policy().days))
    found = [CASES.c.registered_at >= start, CASES.c.registered_at <= end]
    if sought.service_code:
        found.append(CASES.c.tags.in_([TAG + code for code in sought.service_code.split(",")]))
    if sought.status:
        wanted = set(sought.status.split(","))
        if not wanted <= {"open", "closed"}:
            raise Refusal(400, "status must be open or closed")
        ended = CASES.c.state.in_([str(state) for state in ENDED])
        found += [] if len(wanted) == 2 else [ended if "closed" in wanted else ~ended]
    if after := _moment(sought.updated_after, "updated_after"):
        found.append(CASES.c.updated_at >= after)
    if before := _moment(sought.updated_before, "updated_before"):
        found.append(CASES.c.updated_at <= before)
    return found


def _moment(text: str | None, name: str) -> datetime | None:
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text.replace(" ", "+"))  # a plus sign that was not escaped
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise Refusal(400, f"{name} must be a W3C date and time with an offset")
    return moment


def number_of(text: str | None, name: str, most: int, default: int | None = None) -> int:
    if not text:
        return default or most
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= most):
        raise Refusal(400, f"{name} must be from 1 to {most}")
    return int(text)


def request_item(row: RowMapping, facts: Mapping[str, Any], mine: bool) -> dict[str, Any]:
    tags = split(row["tags"])
    code = next((tag.removeprefix(TAG) for tag in tags if tag.startswith(TAG)), "other")
    service = georeport_policy().services.get(code)
    place = facts.get("place", {})
    at = None if row["identity_hidden"] and not mine else point_of(place)
    return {
        "service_request_id": row["ticket_no"],
        "status": "closed" if CaseState(row["state"]) in ENDED else "open",
        "status_notes": row["state"],
        "service_name": service.name if service else code,
        "service_code": code,
        "description": facts.get("content") if mine else None,
        "agency_responsible": row["lead_unit_name"],
        "service_notice": None,
        "requested_datetime": rfc3339(row["registered_at"]),
        "updated_datetime": rfc3339(row["updated_at"]),
        "expected_datetime": rfc3339(row["due_at"]) if row["due_at"] else None,
        "address": place.get("address") if mine else None,
        "address_id": None,
        "zipcode": None,
        "lat": at and round(at.latitude, 6 if mine else ROUNDED),
        "long": at and round(at.longitude, 6 if mine else ROUNDED),
        "media_url": None,
    }
