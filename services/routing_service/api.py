"""Routing over HTTP, put together: worklists, orders, the tree, the catalogue, the classifiers. Contract section 3."""

from __future__ import annotations

from fastapi import APIRouter

from services.routing_service import cataloguing, commands, modelling, organising, timing, worklists
from shared.web.app import Api

router = APIRouter()
for part in (worklists, organising, cataloguing, modelling, timing):
    router.routes.extend(part.router.routes)
COMMANDS = (*commands.COMMANDS, *organising.COMMANDS, *cataloguing.COMMANDS, *modelling.COMMANDS)

API = Api("Jiesu routing 精准派单", router, COMMANDS, worklists.owners)
