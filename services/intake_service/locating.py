"""From what was said about a place to district, street or town, and community: by code, by name, by point.

Nothing is refused for where it is: a point outside the city is flagged, as is one that lies in another district than
the one that was named.
"""

from __future__ import annotations

from typing import Any

from services.intake_service.atlas import Atlas
from services.intake_service.places import to_wgs84
from services.intake_service.registration import LocationBody
from shared.contracts.codes import Datum
from shared.contracts.intake import Place
from shared.language.gazetteer import Level, Mention
from shared.language.script import plain


def locate(location: LocationBody | None, atlas: Atlas) -> Place:
    """The place of an appeal, as finely as it can be told. Names that the atlas does not know are kept as given."""
    if location is None:
        return Place()
    around = _around(location, atlas)
    found = atlas.names.place(
        [
            ("GIVEN", atlas.names.given(location.district)),
            ("GIVEN", atlas.names.given(location.township)),
            ("ADDRESS", _named(location.address, atlas)),
            ("ADDRESS", _named(location.site, atlas)),
            ("POINT", [Mention([code]) for code in around]),
        ]
    )
    district, lies_in = found.chain.get(Level.DISTRICT), _districts(around, atlas)
    return Place(
        district=district or location.district,
        township=found.chain.get(Level.TOWN) or location.township,
        community=found.chain.get(Level.COMMUNITY),
        address=location.address,
        site=location.site,
        longitude=None if location.longitude is None else f"{location.longitude:.6f}",
        latitude=None if location.latitude is None else f"{location.latitude:.6f}",
        datum=None if location.longitude is None else location.datum or Datum.WGS84,
        found_by=found.source or None,
        outside_city=True if location.longitude is not None and atlas.ground and not around else None,
        point_district=min(lies_in) if lies_in and district not in lies_in else None,
    )


def named_place(place: Place, atlas: Atlas) -> dict[str, Any]:
    """The place for people: codes with their names."""
    codes = {"district": place.district, "township": place.township, "community": place.community}
    named = {level: _with_name(code, atlas) for level, code in codes.items()}
    keep = ("found_by", "outside_city", "point_district")
    return named | {name: getattr(place, name) for name in keep}


def _with_name(code: Any, atlas: Atlas) -> dict[str, str] | None:
    division = atlas.divisions.get(code)
    return {"code": division.code, "name": division.name} if division else None


def _districts(codes: list[str], atlas: Atlas) -> set[str]:
    return {chain[Level.DISTRICT] for chain in map(atlas.names.chain, codes) if Level.DISTRICT in chain}


def _named(text: str | None, atlas: Atlas) -> list[Mention]:
    return atlas.names.named(plain(text)) if text else []


def _around(location: LocationBody, atlas: Atlas) -> list[str]:
    if location.longitude is None or location.latitude is None:
        return []
    return atlas.ground.around(to_wgs84(location.longitude, location.latitude, location.datum or Datum.WGS84))
