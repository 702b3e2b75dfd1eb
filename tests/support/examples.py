"""An example of every event, made from its declaration: every field filled, always the same."""

from __future__ import annotations

import types
from datetime import datetime
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel

from shared.contracts.catalogue import EventType
from shared.contracts.envelope import BEIJING, Actor, Envelope, Sealed

AT = datetime(2026, 11, 23, 9, 0, tzinfo=BEIJING)
ID = "01890000-0000-7000-8000-00000000000"
SEALED = Sealed(key="k1", ct="c2VhbGVk")
_PLAIN: dict[Any, Any] = {str: "文本", int: 1, bool: True, float: 0.5, Decimal: Decimal("1.00"), datetime: AT, Any: {}}
_STREAMS = {
    **{"Unit": "unit", "Classifier": "model", "Catalogue": "catalogue", "Policy": "policy", "Import": "import"},
    **{"Exclusion": "exclusions", "Credit": "credits", "Governance": "governance", "Period": "period"},
    **{"Notification": "notices", "Preferences": "preference", "SupervisionLead": "leads"},
}
_USUAL = {"intake": "appeal", "routing": "order", "feedback": "case", "scoring": "assessment"}


def example(event: EventType, filled: bool = True) -> Envelope:
    """A whole event; with filled=False only what is required."""
    family = next(
        (stream for start, stream in _STREAMS.items() if event.payload.__name__.startswith(start)), _USUAL[event.owner]
    )
    payload = _model(event.payload, filled)
    return Envelope(
        id=f"{ID}1",
        source=f"/services/{event.owner}",
        type=event.type,
        subject=f"{ID}2",
        stream=f"{family}-{ID}2",
        version=1,
        time=AT,
        actor=Actor("AGENT", "bj-water", "agent@example"),
        correlation=f"{ID}1",
        causation=f"{ID}3" if filled else None,
        data=payload.model_dump(mode="json", exclude_none=True),
        traceparent="00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01" if filled else None,
    )


def _model(model: type[BaseModel], filled: bool) -> Any:
    wanted = {name: field for name, field in model.model_fields.items() if filled or field.is_required()}
    return model(**{name: _value(field.annotation, filled) for name, field in wanted.items()})


def _value(annotation: Any, filled: bool) -> Any:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _value(arguments[0], filled)
    if origin is Literal:
        return arguments[0]
    if origin in {Union, types.UnionType}:
        return SEALED if Sealed in arguments else _value(next(a for a in arguments if a is not type(None)), filled)
    if origin in {tuple, list}:
        several = origin is tuple and Ellipsis not in arguments
        return tuple(_value(one, filled) for one in (arguments if several else arguments[:1]))
    if origin is dict:
        return {}
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return next(iter(annotation))
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return _model(annotation, filled)
    return _PLAIN[annotation]
