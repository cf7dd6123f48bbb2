"""Reset of a running stand-in, so that tests can share it: `DELETE /_sandbox/state` (no key)."""

from __future__ import annotations

from sandbox.stripe.account import Account, Json
from sandbox.stripe.routing import Route


def delete_everything(account: Account, params: Json, ids: dict[str, str]) -> Json:
    """Delete all objects, events, keys and settings; the webhook endpoint of the command line stays."""
    for obj in account.everything():
        if not obj.get("_from_command_line"):
            account.remove(obj)
    return {"object": "state", "deleted": True}


ROUTES = [Route("DELETE", "/_sandbox/state", delete_everything, {}, kind="knob")]
