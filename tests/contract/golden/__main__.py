"""`make contracts`: record schemas, an example of every event that has none yet, and the README's diagram."""

from __future__ import annotations

import json
import re
import sys

from shared.contracts.catalogue import CATALOGUE
from shared.contracts.documents import event_schema, flow_diagram
from shared.eventlog.canonical import canonical
from tests.contract.golden import EVENTS, FLOW, README, SCHEMAS
from tests.support.examples import example


def main() -> None:
    for event_type, event in CATALOGUE.items():
        schema, stored = SCHEMAS / f"{event_type}.json", EVENTS / f"{event_type}.json"
        schema.write_text(json.dumps(event_schema(event), ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
        if not stored.exists():
            stored.write_bytes(canonical(example(event).as_json()))
            sys.stdout.write(f"recorded {event_type}\n")
    text = README.read_text(encoding="utf-8")
    README.write_text(re.sub(FLOW, lambda found: found[1] + flow_diagram() + found[3], text), encoding="utf-8")


if __name__ == "__main__":
    main()
