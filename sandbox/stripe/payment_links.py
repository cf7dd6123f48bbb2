"""Payment links: pages that anybody may pay on, each visit with a checkout session of its own.

`GET /pl/{id}` starts one and redirects to it; `client_reference_id` and `prefilled_email` are taken over from
the query, as by Stripe. A link that is inactive, or whose limit of completed sessions is reached, shows its
`inactive_message`; a session that is still open then cannot be completed.
"""

from __future__ import annotations

import re
from html import escape

from sandbox.stripe import checkout_items, checkout_sessions, pages
from sandbox.stripe.account import Account, Json
from sandbox.stripe.faults import invalid
from sandbox.stripe.lists import page
from sandbox.stripe.parameters import LIST, anything, boolean, integer, merge_metadata, metadata, one_of, text
from sandbox.stripe.routing import Page, Route

CLOSED = "This link is no longer active."
_REFERENCE = re.compile(r"[A-Za-z0-9_-]{1,200}")
"""What Stripe accepts as a `client_reference_id` in a link's query; anything else is dropped."""


def create(account: Account, params: Json, ids: dict[str, str]) -> Json:
    """`POST /v1/payment_links`: of recurring prices, or of prices that are paid once."""
    items = checkout_items.line_items(account, {"line_items": params["line_items"], "mode": "subscription"})
    if not items:
        raise invalid("A payment link needs at least one line item.", "line_items")
    link_id = account.new_id("plink")
    limit = ((params.get("restrictions") or {}).get("completed_sessions") or {}).get("limit")
    if limit is not None and limit < 1:
        raise invalid("The limit must be at least 1.", "restrictions[completed_sessions][limit]")
    return account.insert(
        {
            **_shape(params),
            "id": link_id,
            "object": "payment_link",
            "active": True,
            "currency": items[0]["currency"],
            "metadata": merge_metadata(None, params.get("metadata")),
            "restrictions": {"completed_sessions": {"count": 0, "limit": limit}} if limit else None,
            "url": f"{account.public_url}/pl/{link_id}",
            "_params": params,
            "_mode": "subscription" if any(item["price"]["recurring"] for item in items) else "payment",
            "_count": 0,
        }
    )


def retrieve(account: Account, params: Json, ids: dict[str, str]) -> Json:
    """`GET /v1/payment_links/{id}`."""
    return account.get("payment_link", ids["id"])


def update(account: Account, params: Json, ids: dict[str, str]) -> Json:
    """`POST /v1/payment_links/{id}`: deactivate or activate it, or change its metadata."""
    link = account.get("payment_link", ids["id"])
    changes: Json = {name: params[name] for name in ("active", "inactive_message") if name in params}
    if "metadata" in params:
        changes["metadata"] = merge_metadata(link["metadata"], params["metadata"])
    account.change(link, "payment_link.updated", **changes)
    return link


def list_links(account: Account, params: Json, ids: dict[str, str]) -> Json:
    """`GET /v1/payment_links`, by `active`."""
    equals = {"active": params["active"]} if "active" in params else {}
    return page(account.find("payment_link", **equals), params, "/v1/payment_links")


def visit(account: Account, params: Json, ids: dict[str, str]) -> Page:
    """`GET /pl/{id}`: start a checkout session and redirect to its page."""
    link = account.get("payment_link", ids["id"])
    if not link["active"]:
        return closed(link)
    given = link["_params"]
    after = ((given.get("after_completion") or {}).get("redirect") or {}).get("url")
    reference = str(params.get("client_reference_id") or "")
    session = checkout_sessions.create(
        account,
        {
            "mode": link["_mode"],
            "line_items": given["line_items"],
            "success_url": after or f"{account.public_url}/_sandbox/paid",
            "metadata": dict(link["metadata"]),
            **({"subscription_data": given["subscription_data"]} if given.get("subscription_data") else {}),
            **({"allow_promotion_codes": True} if link["allow_promotion_codes"] else {}),
            **({"client_reference_id": reference} if _REFERENCE.fullmatch(reference) else {}),
            **({"customer_email": params["prefilled_email"]} if params.get("prefilled_email") else {}),
        },
        {},
    )
    session.update(payment_link=link["id"])
    return pages.redirect(session["url"])


def may_complete(account: Account, session: Json) -> bool:
    """Whether a session may be completed; it may not once its link is inactive."""
    link = account.peek("payment_link", session["payment_link"])
    return link is None or bool(link["active"])


def count_completed(account: Account, session: Json) -> None:
    """Listener: count a completed session, and deactivate the link at its limit."""
    if not session["payment_link"] or account.peek("payment_link", session["payment_link"]) is None:
        return
    link = account.get("payment_link", session["payment_link"])
    link["_count"] += 1
    if link["restrictions"]:
        completed = {**link["restrictions"]["completed_sessions"], "count": link["_count"]}
        is_last = link["_count"] >= completed["limit"]
        account.change(
            link,
            "payment_link.updated",
            restrictions={"completed_sessions": completed},
            active=link["active"] and not is_last,
        )


def closed(link: Json) -> Page:
    """Return the page of a link that is not active."""
    return pages.page("Link deactivated", f"<p>{escape(link['inactive_message'] or CLOSED)}</p>", 410)


def _shape(params: Json) -> Json:
    """Return the fields that repeat parameters, or that the stand-in leaves empty."""
    after = params.get("after_completion") or {
        "type": "hosted_confirmation",
        "hosted_confirmation": {"custom_message": None},
    }
    return {
        "after_completion": after,
        "allow_promotion_codes": bool(params.get("allow_promotion_codes")),
        "application": None,
        "application_fee_amount": None,
        "application_fee_percent": None,
        "automatic_tax": {"enabled": False, "liability": None},
        "billing_address_collection": params.get("billing_address_collection") or "auto",
        "consent_collection": None,
        "custom_fields": [],
        "custom_text": dict.fromkeys(
            ("after_submit", "shipping_address", "submit", "terms_of_service_acceptance")
        ),
        "customer_creation": "if_required",
        "inactive_message": params.get("inactive_message"),
        "invoice_creation": {"enabled": False, "invoice_data": None},
        "livemode": False,
        "managed_payments": None,
        "on_behalf_of": None,
        "payment_intent_data": None,
        "payment_method_collection": "always",
        "payment_method_options": None,
        "payment_method_types": None,
        "phone_number_collection": {"enabled": False},
        "shipping_address_collection": None,
        "shipping_options": [],
        "submit_type": "auto",
        "subscription_data": params.get("subscription_data"),
        "tax_id_collection": {"enabled": False, "required": "never"},
        "transfer_data": None,
    }


LISTENERS = {"checkout.session.completed": count_completed}
_PATH = "/v1/payment_links/{id}"
_LINE_ITEM = {"price!": text, "quantity!": integer, "adjustable_quantity": anything}

ROUTES = [
    Route(
        "POST",
        "/v1/payment_links",
        create,
        {
            "line_items!": [_LINE_ITEM],
            "after_completion": {
                "type!": one_of("hosted_confirmation", "redirect"),
                "redirect": {"url!": text},
                "hosted_confirmation": {"custom_message": text},
            },
            "allow_promotion_codes": boolean,
            "billing_address_collection": one_of("auto", "required"),
            "inactive_message": text,
            "metadata": metadata,
            "restrictions": {"completed_sessions!": {"limit!": integer}},
            "subscription_data": {"metadata": metadata, "trial_period_days": integer, "description": text},
        },
    ),
    Route("GET", "/v1/payment_links", list_links, {**LIST, "active": boolean}),
    Route("GET", _PATH, retrieve, {}),
    Route("POST", _PATH, update, {"active": boolean, "inactive_message": text, "metadata": metadata}),
    Route("GET", "/pl/{id}", visit, kind="page"),
]
