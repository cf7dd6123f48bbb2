"""Stripe's lists: newest first, in pages, filtered by time."""

from __future__ import annotations

import operator
from collections.abc import Iterable

from sandbox.stripe.account import Json
from sandbox.stripe.faults import invalid

DEFAULT_LIMIT = 10
MAX_LIMIT = 100
"""Stripe's page sizes."""
_COMPARE = {"gt": operator.gt, "gte": operator.ge, "lt": operator.lt, "lte": operator.le}


def page(objects: Iterable[Json], params: Json, url: str, *, newest_first: bool = True) -> Json:
    """Return one page of `objects` (given oldest first), by the common list parameters."""
    found = list(objects)
    for name, bound in (params.get("created") or {}).items():
        found = [obj for obj in found if _COMPARE[name](obj["created"], bound)]
    if newest_first:
        found.reverse()
    limit = params.get("limit", DEFAULT_LIMIT)
    if not 1 <= limit <= MAX_LIMIT:
        raise invalid(f"Invalid integer: limit must be between 1 and {MAX_LIMIT}", "limit")
    if params.get("ending_before"):
        before = found[: _position(found, params["ending_before"], "ending_before")]
        return as_list(before[-limit:], url, has_more=len(before) > limit)
    if params.get("starting_after"):
        found = found[_position(found, params["starting_after"], "starting_after") + 1 :]
    return as_list(found[:limit], url, has_more=len(found) > limit)


def as_list(data: list[Json], url: str, *, has_more: bool = False) -> Json:
    """Return Stripe's list object."""
    return {"object": "list", "data": data, "has_more": has_more, "url": url}


def _position(objects: list[Json], object_id: str, param: str) -> int:
    for index, obj in enumerate(objects):
        if obj["id"] == object_id:
            return index
    raise invalid(f"No such object: '{object_id}'", param, "resource_missing")
