"""Rendering of live objects: without private fields, with `expand[]` resolved."""

from __future__ import annotations

import re
from typing import Any

from sandbox.stripe.account import Account, Json, public
from sandbox.stripe.faults import invalid

MAX_EXPAND_DEPTH = 4
"""Stripe's limit."""


def render(account: Account, obj: Json, expand: list[str] | None = None) -> Json:
    """Return a copy of the object as returned by the API. Raises a fault for an invalid `expand`."""
    shown: Json = public(obj)
    for path in expand or []:
        parts = path.split(".")
        if len(parts) - (parts[0] == "data") > MAX_EXPAND_DEPTH:
            raise invalid(
                f"You cannot expand more than {MAX_EXPAND_DEPTH} levels of a property ({path}).", "expand"
            )
        _expand(account, shown, parts, path)
    return shown


def _expand(account: Account, node: Any, parts: list[str], path: str) -> None:
    if isinstance(node, list):
        for item in node:
            _expand(account, item, parts, path)
        return
    if not isinstance(node, dict) or not parts:
        return
    name = re.sub(r"\[\]$", "", parts[0])
    if name not in node or node[name] is None:
        _include(account, node, name, path)
    value = node.get(name)
    if isinstance(value, str):
        value = node[name] = _resolve(account, value, path)
    elif isinstance(value, list):
        value = node[name] = [_resolve(account, v, path) if isinstance(v, str) else v for v in value]
    _expand(account, value, parts[1:], path)


def _include(account: Account, node: Json, name: str, path: str) -> None:
    """Return a property shown only when expanded: from a registered function, or the private field."""
    live = account.by_id(node.get("id", ""))
    include = account.includes.get((node.get("object", ""), name))
    if include is not None and live is not None:
        node[name] = public(include(account, live))
    elif live is not None and f"_{name}" in live:
        node[name] = public(live[f"_{name}"])
    elif name not in node:
        raise invalid(f"This property cannot be expanded ({path}).", "expand")


def _resolve(account: Account, object_id: str, path: str) -> Any:
    target = account.by_id(object_id)
    if target is None:
        raise invalid(f"This property cannot be expanded ({path}).", "expand")
    return public(target)
