"""Intake, put together: 一号响应, one number for everything."""

from services.intake_service.attaching import remove_files, scan_again
from services.intake_service.granting import keep_keys
from services.intake_service.privacy import shred
from services.intake_service.reactions import DEADLINES, REACTIONS
from services.intake_service.views import VIEWS
from services.intake_service.worker import keep_importing, remove_file
from shared.engine.runtime import Service

SERVICE = Service(
    "intake",
    REACTIONS,
    VIEWS,
    DEADLINES,
    decides_on=("cases",),
    work={"imports": keep_importing},
    effects={
        "shred": shred,
        "keys": keep_keys,
        "remove-files": remove_files,
        "remove-imports": remove_file,
        "scan": scan_again,
    },
)
