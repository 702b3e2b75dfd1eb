"""Attachments over HTTP: taken in, made clean, sealed and kept; handed out as files, never shown in place.

The appeal is on record before its files come, so nothing that goes wrong here loses an appeal.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel
from sqlalchemy import RowMapping
from starlette.responses import Response, StreamingResponse

from services.intake_service.along_the_way import Attach, NoteScan, Verdict
from services.intake_service.appeal import APPEAL
from services.intake_service.calling import case_seen, known_by_code, subject_key
from services.intake_service.media import STRIPPED, Medium, recognised, stripped
from services.intake_service.policy import AttachmentPolicy, attachment_policy
from services.intake_service.reading import ADDED, attachments_of, case_row, load_appeal, ownership, restricted
from services.intake_service.state import Appeal
from shared.contracts.codes import CaseState
from shared.contracts.envelope import Actor, Envelope
from shared.contracts.intake import AttachmentAdded
from shared.engine.decider import NotYours, Refused
from shared.engine.execute import Decision, Intention
from shared.engine.objects import ObjectMissing
from shared.engine.runtime import Running
from shared.engine.scanning import CannotBeScanned, ScannerAway
from shared.engine.sealed_files import FileDamaged, open_file, seal_file
from shared.eventlog.postgres import Connection
from shared.eventlog.sealing import SubjectErased
from shared.web.asking import Asking, PublicAsking, reads
from shared.web.commands import Call, Plan
from shared.web.fields import Body
from shared.web.identity import Ownership, Reach, Scope
from shared.web.media import AnyFile
from shared.web.problems import Problem
from shared.web.tracking import APPELLANT
from shared.web.uploads import FileRoute, Upload

router = APIRouter()
CanRead = Annotated[Asking, Depends(reads(Scope.READ))]
ERASED = "cn.gov.appeals.intake.appellant-erased.v1"
SCANNER = Actor("SCANNER")
_ONE_AT_A_TIME = asyncio.Semaphore(1)


class FileForm(Body):
    """multipart/form-data with the file as `file`."""

    file: bytes


class Position(BaseModel):
    """Where a photo says it was taken, WGS-84. It is offered, not used: the stored file does not have it any more."""

    longitude: float
    latitude: float


class Attached(BaseModel):
    """What was kept. `sha256` is that of the sealed object in the store: auditors check it without opening anything."""

    number: int
    kind: str
    media_type: str
    bytes: int
    sha256: str
    scan: str
    position: Position | None
    state: str
    version: int


@dataclass(frozen=True)
class _Kept:
    """A file in the store, and what the log says of it."""

    facts: AttachmentAdded
    position: dict[str, float] | None


async def attach(call: Call[Upload]) -> Plan:
    """An officer, the unit that handles the appeal, or the system that registered it adds a file."""
    appeal = await load_appeal(call.running, call.subject)
    if appeal.state is None:
        raise NotYours
    call.must_see(await _owned(call, appeal))
    return await _attached(call, call.subject, appeal, call.actor, await case_seen(call))


async def _owned(call: Call[Upload], appeal: Appeal) -> Ownership:
    """Whose it is; an appeal that no view knows yet is its client's."""
    try:
        return ownership(await case_row(call.running, call.subject))
    except NotYours:
        return Ownership(client=appeal.client)


async def attach_by_citizen(call: Call[Upload]) -> Plan:
    """The appellant adds a file."""
    row = await known_by_code(call.running, call.subject, call.headers)
    appeal = await load_appeal(call.running, row["appeal_id"])
    return await _attached(call, row["appeal_id"], appeal, APPELLANT, CaseState(row["state"]))


async def _attached(call: Call[Upload], appeal_id: str, appeal: Appeal, actor: Actor, seen: CaseState) -> Plan:
    running, policy = call.running, attachment_policy()
    appeal.must_be_open("attach", seen)
    # A command may be decided twice, a file is looked at and stripped once.
    if "clean" not in call.body.notes:
        call.body.notes["clean"] = await _looked_at(running, call.body, policy)
    clean, scan = call.body.notes["clean"]
    kept = await _keep(running, f"attachments/{appeal_id}/{running.ids.uuid7()}", appeal, clean, call.body, scan)
    command = Attach(at=call.now, actor=actor, facts=kept.facts, most=policy.most_each, seen=seen)

    def answer(decision: Decision[Appeal]) -> dict[str, Any]:
        keep = ("kind", "media_type", "bytes", "sha256", "scan")
        told = {name: getattr(kept.facts, name) for name in keep} | {"number": len(decision.state.scans)}
        return told | {"position": kept.position, "state": str(decision.state.state), "version": decision.version}

    async def discard() -> None:
        await running.objects.remove(kept.facts.object)

    return Plan(Intention(APPEAL, appeal_id, command, sealed_for=subject_key), answer, discard=discard)


async def _looked_at(running: Running, upload: Upload, policy: AttachmentPolicy) -> tuple[Medium, str]:
    """What the file is, without what it says about place and device, and what the scanner says. Raises Refused."""
    async with _ONE_AT_A_TIME:  # pictures take up room while they are written anew
        return await _clean(running, upload, policy)


async def _clean(running: Running, upload: Upload, policy: AttachmentPolicy) -> tuple[Medium, str]:
    medium = await asyncio.to_thread(recognised, upload.file, upload.name, policy)
    if upload.size > policy.most_bytes[medium.kind]:
        raise Refused("FILE_TOO_LARGE", f"{medium.kind}: at most {policy.most_bytes[medium.kind]} bytes")
    scan = await _scanned(running, medium)
    clean = await asyncio.to_thread(stripped, medium, policy)
    upload.made.append(clean.file)
    return clean, scan


async def _scanned(running: Running, medium: Medium) -> str:
    """CLEAN, UNSCANNED without a scanner, PENDING while it is away. Raises Refused for malware."""
    if running.scanner is None:
        return "UNSCANNED"
    try:
        if await running.scanner.is_clean(medium.file):
            return "CLEAN"
    except ScannerAway:
        return "PENDING"
    except CannotBeScanned:
        raise Refused("FILE_TOO_LARGE", "the scanner does not take a file of this size") from None
    raise Refused("MALWARE_FOUND", "the scanner found malware in this file; nothing was kept")


async def _keep(running: Running, name: str, appeal: Appeal, medium: Medium, upload: Upload, scan: str) -> _Kept:
    """Seal the file and store it."""
    await running.keyring.hold(appeal.subject_key)
    size = medium.file.seek(0, 2)
    sealed, digest = await seal_file(running.keyring, appeal.subject_key, name, medium.file)
    with sealed:
        await running.objects.put(name, sealed)
    at = medium.position
    position = {"longitude": round(at.longitude, 6), "latitude": round(at.latitude, 6)} if at else None
    facts = AttachmentAdded(
        number=0,
        kind=medium.kind,
        media_type=medium.media_type,
        ending=medium.ending,
        bytes=size,
        object=name,
        sha256=digest,
        scan=scan,
        sent_sha256=upload.digest.hex(),
        name=upload.name and upload.name[: attachment_policy().longest_name],
        longitude=f"{at.longitude:.6f}" if at else None,
        latitude=f"{at.latitude:.6f}" if at else None,
    )
    return _Kept(facts, position)


@router.get("/v1/appeals/{appeal_id}/attachments/{number}", response_class=AnyFile, summary="A file of an appeal")
async def download(appeal_id: str, number: int, asking: CanRead) -> Response:
    """To be saved, never to be shown in the browser."""
    row = await case_row(asking.running, appeal_id)
    if not asking.principal.can_see(Scope.READ, ownership(row)):
        raise NotYours
    outside = asking.principal.reach(Scope.READ) in {Reach.UNIT, Reach.DISTRICT}
    return await _handed_out(asking.running, row, number, only_stripped=outside and row["identity_hidden"])


@router.get(
    "/v1/track/{ticket_no}/attachments/{number}",
    response_class=AnyFile,
    summary="A file of one's own appeal, by tracking code",
)
async def download_by_citizen(ticket_no: str, number: int, request: Request, asking: PublicAsking) -> Response:
    """To be saved, never to be shown in the browser."""
    row = await known_by_code(asking.running, ticket_no, request.headers)
    return await _handed_out(asking.running, row, number)


async def _handed_out(running: Running, row: RowMapping, number: int, only_stripped: bool = False) -> Response:
    if await restricted(running, row):
        raise Refused("RESTRICTED", "this person's data is kept and used no more")
    found = next((one for one in await attachments_of(running, row["appeal_id"]) if one["number"] == number), None)
    if found is None:
        raise NotYours
    if only_stripped and found["media_type"] not in STRIPPED:
        raise Refused("ATTACHMENT_WITHHELD", "it could tell who the appellant is; ask the hotline")
    if found["scan"] == "PENDING":
        raise Problem("ATTACHMENT_PENDING", "the scanner has not looked at it yet")
    if found["scan"] in {"INFECTED", "UNSCANNABLE"}:
        raise Refused(f"ATTACHMENT_{found['scan']}", "the scanner found malware in it, or could not look at it")
    key = (await load_appeal(running, row["appeal_id"])).subject_key
    await running.keyring.hold(key)
    chunks = open_file(running.keyring, key, found["object"], running.objects.get(found["object"]))
    try:
        first = await anext(chunks)
    except (ObjectMissing, FileDamaged) as error:
        raise Problem("ATTACHMENT_DAMAGED", f"{found['object']} is not what was stored") from error
    headers = {
        "Content-Disposition": f'attachment; filename="{row["ticket_no"]}-{number}.{found["ending"]}"',
        "Content-Length": str(found["bytes"]),
        "Content-Security-Policy": "sandbox; default-src 'none'",
        "Cache-Control": "no-store",
    }
    return StreamingResponse(_all(first, chunks), media_type=found["media_type"], headers=headers)


async def _all(first: bytes, others: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for chunk in others:
        yield chunk


async def _must_know_the_code(request: Request, running: Running) -> None:
    """Before anything is read: strangers do not send us files."""
    await known_by_code(running, request.path_params["ticket_no"], request.headers)


def _most() -> int:
    policy: AttachmentPolicy = attachment_policy()
    return max(policy.most_bytes.values()) + 64 * 1024  # and the form around it


COMMANDS = (
    FileRoute(
        "/v1/appeals/{appeal_id}/attachments", FileForm, Scope.ATTACH, attach, "Add a file", 201,
        answer=Attached, most_bytes=_most,
    ),
    FileRoute(
        "/v1/track/{ticket_no}/attachments", FileForm, Scope.PUBLIC, attach_by_citizen, "Add a file by code", 201,
        subject="ticket_no", answer=Attached, most_bytes=_most, before=_must_know_the_code,
    ),
)  # fmt: skip


async def scan_again(running: Running, connection: Connection, events: list[Envelope]) -> None:
    """Files that came while the scanner was away. Raises ScannerAway: the consumer tries again, nothing is skipped."""
    if running.scanner is None:
        return
    within = running.executor.within(connection)
    for event in events:
        if event.type != ADDED or event.data["scan"] != "PENDING":
            continue
        try:
            verdict: Verdict = "CLEAN" if await _is_clean(running, event) else "INFECTED"
        except CannotBeScanned:
            verdict = "UNSCANNABLE"
        except (SubjectErased, ObjectMissing, FileDamaged):
            continue
        number: int = event.data["number"]
        command = NoteScan(at=running.clock.now(), actor=SCANNER, number=number, verdict=verdict)
        intention = Intention(APPEAL, event.subject, command, sealed_for=subject_key, cause=event)
        await within.load([intention])
        await within.decide([intention])
    await within.append()


async def _is_clean(running: Running, added: Envelope) -> bool:
    """Look at a file in the store. Raises ScannerAway, and what opening it raises."""
    assert running.scanner is not None
    key = (await load_appeal(running, added.subject)).subject_key
    await running.keyring.hold(key)
    name = added.data["object"]
    with tempfile.TemporaryFile() as file:
        async for chunk in open_file(running.keyring, key, name, running.objects.get(name)):
            file.write(chunk)
        return await running.scanner.is_clean(file)


async def remove_files(running: Running, _: Connection, events: list[Envelope]) -> None:
    """Files of persons who were erased: nobody can open them any more, and they need not take up room."""
    for event in events:
        if event.type == ERASED:
            for appeal_id in event.data["appeals"]:
                for one in await attachments_of(running, appeal_id):
                    await running.objects.remove(one["object"])
