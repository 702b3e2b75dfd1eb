"""Bad requests, made from good ones: for every command of every service, and a check that each is refused alike."""

from __future__ import annotations

import asyncio
import copy
import json
import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from services.city import APIS
from services.scoring_service.founding import shipped
from shared.web.commands import CommandRoute
from shared.web.identity import PERMISSIONS, Scope
from shared.web.uploads import FileRoute
from tests.support.city import WATER, City, Reply

CANARY = "CANARY-7f3a-13800138000"
NOBODY = "01890000-0000-7000-8000-000000000000"
LIMIT = 256 * 1024
NOON = "2026-11-23T12:00:00+08:00"
POLICY = dict(shipped()["BJ-HR-2025"]) | {"version": "bad-input"}
_GOOD = """
AppealBody {"kind": "HELP", "channel": "WEB", "content": "路灯不亮", "title": "路灯", "category_path": ["市政"],
  "raised_at": "2026-11-22T12:00:00+08:00", "tags": ["夜间"], "urgency": "GENERAL", "source_ref": "bad-input",
  "location": {"address": "某路1号", "longitude": 116.4, "latitude": 39.9, "datum": "WGS84", "site": "某小区",
    "district": "110105", "township": "110105001"}, "relates_to": "01890000-0000-7000-8000-000000000000",
  "appellant": {"type": "PERSON", "name": "王芳", "phone": "13800138001", "email": "w@example.cn",
    "wechat": "oX7_wx-12345",
    "confidential": false, "anonymous": false}}
AnswerBody {"text": "已答复", "knowledge_id": "01890000-0000-7000-8000-000000000000"}
RedirectBody {"route": "STATUTORY_CHANNEL", "reason": "诉讼", "target": "法院"}
MergeBody {"into": "01890000-0000-7000-8000-000000000000", "reason": "同一诉求"}
WithdrawBody {"reason": "已解决"}
SupplementBody {"text": "昨晚又停了"}
UrgeBody {"reason": "家有老人"}
TagsBody {"tags": ["每月一题"]}
RiskAlertBody {"level": "EMERGENCY", "category": "火情", "hand_over": "119", "reason": "有浓烟"}
MessageBody {"text": "请问何时上门", "attachments": [1]}
EvaluationBody {"resolved": true, "satisfaction": "SATISFIED", "process_satisfaction": "SATISFIED", "comment": "很快"}
InvitationBody {"unit_id": "fl-chaoyang", "reason": "协助"}
ContributionBody {"text": "已上门慰问"}
MaliciousUseBody {"evidence": "一日内拨打百余次"}
LinkBody {"other": "01890000-0000-7000-8000-000000000000", "reason": "同一问题"}
KnowledgeBody {"title": "水表过户", "text": "到窗口办理", "owner_unit": "bj-water", "keywords": ["更名"],
  "valid_until": "2030-01-01T00:00:00+08:00"}
RetireBody {}
MeasureBody {"ground": "REQUEST_OF_PERSON"}
KeyBody {"client": "partner", "role": "INTEGRATOR", "unit_id": "bj-water", "district": "110105",
  "scopes": ["appeal:register"], "expires_at": "2027-06-01T00:00:00+08:00"}
RevokeBody {"key_id": "0123456789abcdef"}
OperationBody {"kind": "BULK_UNMASK", "target": "01890000-0000-7000-8000-000000000000", "ground": "COURT_ORDER"}
ApprovalBody {}
ConsultationBody {"participants": ["bj-water", "110105"], "reason": "职责不清"}
ConsultationCloseBody {"decision": "由水务负责", "unit_id": "bj-water"}
ObjectBody {"ground": "DUTY", "reason": "不属我单位职责", "proposed_unit": "bj-gas"}
UpholdBody {"unit_id": "bj-gas", "reason": "属实"}
ReasonBody {"reason": "理由充分"}
ExtensionBody {"until": "2026-12-01T12:00:00+08:00", "reason": "等待配件"}
WhistleBody {"departments": ["bj-housing"], "kind": "APPEAL", "reason": "联合执法"}
ReportInBody {"number": 1, "refused": false, "reason": "已到场"}
SubtaskBody {"solved": true, "result": "已整改"}
WhistleCloseBody {"number": 1, "solved": true, "justified": true}
EscalateBody {"level": "DISTRICT", "reason": "超出权限"}
LedgerBody {"plan": "纳入明年改造", "review_on": "2026-12-20T12:00:00+08:00"}
LedgerReviewBody {"finding": "方案推进中", "review_on": "2027-01-20T12:00:00+08:00"}
DispatchBody {"unit_id": "bj-water", "reason": "职责", "tier": "GENERAL", "cc_district": "110105",
  "co_units": ["bj-gas"]}
SignManyBody {"appeal_ids": ["01890000-0000-7000-8000-000000000001"]}
HandOverBody {"officer": "li@bj-water"}
HandOverManyBody {"appeal_ids": ["01890000-0000-7000-8000-000000000001"], "officer": "li@bj-water"}
RollBackBody {"reason": "误派增多"}
NoBody {}
UnitBody {"unit_id": "u1", "name": "某单位", "name_en": "U", "unit_type": "MUNICIPAL_DEPT", "parent_id": "bj-water",
  "closed": true, "effective_from": "2026-12-20T12:00:00+08:00",
  "aliases": ["单位"], "boundary": {"type": "MultiPolygon",
  "coordinates": [[[[116.0, 39.0], [117.0, 39.0], [117.0, 40.0], [116.0, 39.0]]]]}}
CatalogueBody {"version": "V1", "source": "测试", "rules": [{"id": "r1", "name": "路灯", "categories": ["市政"],
  "keywords": ["路灯"], "unless": ["已修"], "duty": "bj-water", "tier": "GENERAL",
  "department_only": true, "basis": "Art 11"}]}
PublishBody {"effective_from": "2026-11-23T12:00:00+08:00"}
ActivateBody {"effective_from": "2026-11-23T12:00:00+08:00"}
ContactBody {"channel": "PHONE", "outcome": "REACHED", "note": "已联系", "at": "2026-11-23T12:00:00+08:00"}
FeedbackBody {"kind": "RESULT", "recipient": "APPELLANT", "text": "已处理", "outcome": "RESOLVED",
  "attachments": [{"number": 1, "role": "AFTER"}]}
AttemptBody {"outcome": "NO_ANSWER", "method": "PHONE", "at": "2026-11-23T12:00:00+08:00"}
CallbackBody {"valid": true, "contacted": true, "resolved": true, "satisfaction": "SATISFIED", "reasons": ["快"],
  "method": "PHONE", "because": [{"question": "SATISFACTION", "code": "TOO_SLOW"}], "recording": 1}
ReadBody {"count": 1}
RecheckBody {"contacted": true, "resolved": true, "satisfaction": "SATISFIED"}
ContestBody {"ground": "诉求人记错了单位"}
ReviewBody {"stands": true, "reason": "录音属实"}
ReopenBody {"reason": "又停水了"}
SurveyBody {"contacted": true, "resolved": true, "satisfaction": "SATISFIED", "process_satisfaction": "SATISFIED",
  "comment": "很快"}
ReplyBody {"text": "周三在家"}
PreferenceBody {"language": "zh", "off": ["SMS"], "optional": false}
LeadBody {"key": "TEMPLATE_ANSWER:1", "outcome": "EXPLAINED"}
ReceiptBody {"notice_id": "01890000-0000-5000-8000-000000000000", "arrived": true}
ClaimBody {"reason": "FORCE_MAJEURE", "evidence": "暴雨红色预警，见照片", "files": [1]}
ApproveBody {"reason": "证据充分"}
RejectBody {"reason": "证据不足"}
AssessmentAppealBody {"argument": "现场照片未被采信"}
CreditBody {"kind": "PROACTIVE", "period": "2026-12", "decision": "京政办〔2026〕3号",
  "appeals": ["01890000-0000-7000-8000-000000000001"]}
DecisionBody {"decision": "京政办〔2026〕4号"}
CloseBody {"policy": "draft-7"}
GatewayReplyBody {"notice_id": "01890000-0000-5000-8000-000000000000", "message_id": "sms-1", "text": "111"}
"""
_PARTS = re.split(r"^(\w+) ", _GOOD, flags=re.MULTILINE)[1:]
GOOD = {name: json.loads(body) for name, body in zip(_PARTS[::2], _PARTS[1::2], strict=True)}
GOOD["PolicyBody"] = {"document": POLICY}
"""A good body with every field, by the name of its model."""

ROUTES = [
    (service, command)
    for service, api in APIS.items()
    for command in api.commands
    if not isinstance(command, FileRoute)  # files have tests of their own
]


class Bad(NamedTuple):
    """A request that must be refused."""

    service: str
    route: CommandRoute
    label: str = ""
    data: bytes = b""
    headers: dict[str, str] = {}  # noqa: RUF012 - never changed

    def __str__(self) -> str:
        return f"{self.route.method} {path_of(self)} {self.label}"


def path_of(bad: Bad, subject: str = NOBODY) -> str:
    return f"/{bad.service}{re.sub(r'{[^}]+}', subject, bad.route.path)}"


def role_for(route: CommandRoute) -> str | None:
    return None if route.scope is Scope.PUBLIC else next(r for r, may in PERMISSIONS.items() if route.scope in may)


def good_body(route: CommandRoute) -> dict[str, Any]:
    name = route.body.__name__
    assert name in GOOD, f"tests/e2e/test_bad_input.py: add a good {name} to GOOD, so that {route.path} is tested too"
    return copy.deepcopy(GOOD[name])


def json_of(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode()


def each(label: str, make: Callable[[dict[str, Any]], bytes | None], **headers: str) -> list[Bad]:
    """The same bad thing for every command that it can be done to."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    made = [(service, route, make(good_body(route))) for service, route in ROUTES]
    return [Bad(service, route, label, data, named) for service, route, data in made if data is not None]


async def recorded(city: City) -> int:
    return sum([sum(await running.log.heads()) for running in city.running.values()])


async def send(city: City, bad: Bad) -> Reply:
    headers = {"Connection": "close"} | bad.headers
    return await city.send(
        bad.route.method, path_of(bad), role_for(bad.route), data=bad.data, headers=headers, unit=WATER
    )


def what_is_wrong(reply: Reply, status: int, code: str) -> str | None:
    """What is wrong with this refusal."""
    problem = reply.body if reply.headers["Content-Type"] == "application/problem+json" else {}
    if (reply.status, problem.get("status"), problem.get("code")) != (status, status, code):
        return f"{reply.status} {problem.get('code')} instead of {status} {code}"
    if not all(
        isinstance(problem.get(name), str) and problem[name] for name in ("type", "title", "detail", "instance")
    ):
        return f"lacks members: {problem}"
    if any(set(one) != {"pointer", "message"} for one in problem.get("errors", ())):
        return f"errors {problem['errors']}"
    echoed = CANARY.encode() in reply.raw or any(CANARY in value for value in reply.headers.values())
    return "repeats the refused value" if echoed else None


async def all_refused(city: City, bads: list[Bad], status: int, code: str) -> list[Reply]:
    assert bads
    before = await recorded(city)
    replies = await asyncio.gather(*(send(city, bad) for bad in bads))
    said = [(bad, what_is_wrong(reply, status, code)) for bad, reply in zip(bads, replies, strict=True)]
    wrong = [f"{bad}: {what}" for bad, what in said if what]
    assert not wrong, f"{len(wrong)} of {len(bads)}:\n" + "\n".join(wrong)
    assert await recorded(city) == before
    return replies


def every_place(value: Any, where: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """Every value inside, with its path."""
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
        yield (*where, key), inner
        if isinstance(inner, dict | list):
            yield from every_place(inner, (*where, key))


def with_value(body: Any, where: tuple[Any, ...], value: Any) -> Any:
    changed = copy.deepcopy(body)
    place = changed
    for key in where[:-1]:
        place = place[key]
    place[where[-1]] = value
    return changed


def texts(raws: list[bytes]) -> list[Bad]:
    """For every command its body with these JSON bytes in place of its first text."""

    def text(body: dict[str, Any], raw: bytes) -> bytes | None:
        where = next((where for where, value in every_place(body) if isinstance(value, str)), None)
        return where and json_of(with_value(body, where, "@@")).replace(b'"@@"', raw)

    return [bad for raw in raws for bad in each(repr(raw[:20]), lambda body, raw=raw: text(body, raw))]


async def raw(city: City, service: str, route: CommandRoute, headers: bytes, body: bytes) -> tuple[bytes, Any]:
    """The status line and the problem, after sending exactly this and leaving the connection open."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(city.url.rsplit(":", 1)[1]))
    role, path = role_for(route), path_of(Bad(service, route))
    token = f"Authorization: Bearer {city.token(role, WATER)}\r\n" if role else ""
    writer.write(f"{route.method} {path} HTTP/1.1\r\nHost: x\r\n{token}".encode() + headers + b"\r\n" + body)
    try:
        async with asyncio.timeout(20):
            status, _, headers = (await reader.readuntil(b"\r\n\r\n")).partition(b"\r\n")
            length = int(headers.lower().partition(b"content-length: ")[2].partition(b"\r")[0])
            return status, json.loads(await reader.readexactly(length))
    finally:
        writer.close()
