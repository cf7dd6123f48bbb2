"""Connected accounts (Express): creation, links to onboarding and dashboard, requirements, deauthorization.

Tests act as Stripe or the seller at `POST /_sandbox/accounts/{id}` (no key; form or JSON): `disabled_reason`
disables the account (empty: enables it again), `currently_due` lists requirements, `deauthorized=true`
disconnects it from the platform.
"""

from __future__ import annotations

from sandbox.stripe import account_details
from sandbox.stripe.account import Account, Json
from sandbox.stripe.account_details import ACCOUNT_ID
from sandbox.stripe.faults import StripeFault, invalid
from sandbox.stripe.lists import as_list, page
from sandbox.stripe.parameters import LIST, anything, boolean, merge_metadata, metadata, one_of, text
from sandbox.stripe.routing import Route

KIND = "account"
LINK_SECONDS = 300
"""An account link works once and for a few minutes."""
ONBOARDING_FIELDS = (
    "business_type",
    "external_account",
    "representative.dob.day",
    "representative.dob.month",
    "representative.dob.year",
    "representative.first_name",
    "representative.last_name",
    "tos_acceptance.date",
    "tos_acceptance.ip",
)
"""What Stripe needs of a new Express account that only requests transfers."""
CURRENCIES = {
    "AT": "eur", "BE": "eur", "CH": "chf", "DE": "eur", "DK": "dkk", "ES": "eur", "FI": "eur", "FR": "eur",
    "GB": "gbp", "IE": "eur", "IT": "eur", "JP": "jpy", "NL": "eur", "NO": "nok", "PL": "pln", "PT": "eur",
    "SE": "sek", "US": "usd",
}  # fmt: skip
"""Countries in which an account can be opened here, with the currency of its bank account."""
APPLICATION_ID = "ca_sandbox00000000000000000000001"
_REQUIREMENT_LISTS = (
    "alternatives",
    "currently_due",
    "errors",
    "eventually_due",
    "past_due",
    "pending_verification",
)


def create(account: Account, params: Json, ids: dict[str, str]) -> Json:
    """`POST /v1/accounts`: an Express account that still has to be onboarded."""
    if params.get("type") != "express":
        raise invalid("Only accounts of the type express can be opened here.", "type")
    country = params.get("country") or "DE"
    if country not in CURRENCIES:
        raise invalid(f"{country} is not currently supported by Stripe.", "country", "country_unsupported")
    account_id = "acct_1" + account.new_id("x")[2:17]
    opened = account.insert(
        {
            "id": account_id,
            "object": KIND,
            "business_profile": account_details.business_profile(None),
            "business_type": params.get("business_type"),
            "capabilities": {"transfers": "inactive"},
            "charges_enabled": False,
            "controller": {
                "fees": {"payer": "application_express"},
                "is_controller": True,
                "losses": {"payments": "application"},
                "requirement_collection": "stripe",
                "stripe_dashboard": {"type": "express"},
                "type": "application",
            },
            "country": country,
            "created": account.now(),
            "default_currency": CURRENCIES[country],
            "details_submitted": False,
            "email": params.get("email"),
            "external_accounts": as_list([], f"/v1/accounts/{account_id}/external_accounts"),
            "future_requirements": requirements(),
            "metadata": merge_metadata(None, params.get("metadata")),
            "payouts_enabled": False,
            "requirements": requirements(
                currently_due=list(ONBOARDING_FIELDS),
                eventually_due=list(ONBOARDING_FIELDS),
                past_due=list(ONBOARDING_FIELDS),
                disabled_reason="requirements.past_due",
            ),
            "settings": account_details.settings(params.get("email") or account_id),
            "tos_acceptance": {"date": None},
            "type": "express",
            "_balances": {},
        }
    )
    account.emit("account.updated", opened, {})
    return opened


def requirements(**known: object) -> Json:
    """Return the hash of requirements, empty unless given."""
    return {
        **{name: [] for name in _REQUIREMENT_LISTS},
        "current_deadline": None,
        "disabled_reason": None,
    } | (known)


def connected(account: Account, account_id: str) -> Json:
    """Return the live account. Raises Stripe's fault if it is unknown or has left the platform."""
    found = account.peek(KIND, account_id)
    if found is None or found.get("_deauthorized"):
        raise StripeFault(
            f"The provided key does not have access to account '{account_id}' (or that account does not"
            " exist). Application access may have been revoked.",
            status=403,
            code="account_invalid",
        )
    return account.get(KIND, account_id)


def retrieve(account: Account, params: Json, ids: dict[str, str]) -> Json:
    """`GET /v1/accounts/{id}`, of the platform's own account too."""
    if ids["id"] == ACCOUNT_ID:
        return account_details.retrieve(account, params, ids)
    return connected(account, ids["id"])


def list_accounts(account: Account, params: Json, ids: dict[str, str]) -> Json:
    """`GET /v1/accounts`."""
    found = [each for each in account.all(KIND) if not each.get("_deauthorized")]
    return page(found, params, "/v1/accounts")


def update(account: Account, params: Json, ids: dict[str, str]) -> Json:
    """`POST /v1/accounts/{id}`."""
    opened = connected(account, ids["id"])
    changes = {name: params[name] for name in ("email",) if name in params}
    if "metadata" in params:
        changes["metadata"] = merge_metadata(opened["metadata"], params["metadata"])
    account.change(opened, "account.updated", **changes)
    return opened


def create_link(account: Account, params: Json, ids: dict[str, str]) -> Json:
    """`POST /v1/account_links`: a page for onboarding that works once."""
    opened = connected(account, params["account"])
    for name in ("refresh_url", "return_url"):
        if not params.get(name):
            raise invalid(f"You must provide a `{name}` for this type of account link.", name)
    token = account.new_id("x")[2:14]
    link = account.insert(
        {
            "id": token,
            "object": "account_link",
            "created": account.now(),
            "expires_at": account.now() + LINK_SECONDS,
            "url": f"{account.public_url}/setup/e/{opened['id']}/{token}",
            "_account": opened["id"],
            "_refresh_url": params["refresh_url"],
            "_return_url": params["return_url"],
            "_used": False,
        }
    )
    return {name: value for name, value in link.items() if name != "id"}


def create_login_link(account: Account, params: Json, ids: dict[str, str]) -> Json:
    """`POST /v1/accounts/{id}/login_links`: a page of the Express dashboard."""
    opened = connected(account, ids["id"])
    if not opened["details_submitted"]:
        raise invalid(
            "Cannot create a login link for an account that has not completed onboarding.", "account"
        )
    url = f"{account.public_url}/express/{opened['id']}/{account.new_id('x')[2:14]}"
    return {"object": "login_link", "created": account.now(), "url": url}


def enable(account: Account, opened: Json, account_number: str) -> None:
    """Complete the onboarding of an account: all requirements are met."""
    account.change(
        opened,
        "account.updated",
        business_type=opened["business_type"] or "individual",
        capabilities={"transfers": "active"},
        charges_enabled=True,
        payouts_enabled=True,
        details_submitted=True,
        requirements=requirements(),
        external_accounts=as_list(
            [_bank_account(account, opened, account_number)], opened["external_accounts"]["url"]
        ),
        tos_acceptance={"date": account.now()},
    )


def turn_knobs(account: Account, params: Json, ids: dict[str, str]) -> Json:
    """`POST /_sandbox/accounts/{id}`."""
    opened = connected(account, ids["id"])
    if params.get("deauthorized"):
        opened["_deauthorized"] = True
        application = {
            "id": APPLICATION_ID,
            "object": "application",
            "name": "Sandbox",
            "_account": ids["id"],
        }
        account.emit("account.application.deauthorized", application)
        return opened
    reason = params.get("disabled_reason", opened["requirements"]["disabled_reason"]) or None
    due = params.get("currently_due", opened["requirements"]["currently_due"])
    due = [name.strip() for name in due.split(",") if name.strip()] if isinstance(due, str) else due
    account.change(
        opened,
        "account.updated",
        charges_enabled=reason is None and opened["details_submitted"],
        payouts_enabled=reason is None and opened["details_submitted"],
        capabilities={"transfers": "active" if reason is None else "inactive"},
        requirements=requirements(
            currently_due=due, eventually_due=due, past_due=due if reason else [], disabled_reason=reason
        ),
    )
    return opened


def _bank_account(account: Account, opened: Json, number: str) -> Json:
    return {
        "id": account.new_id("ba"),
        "object": "bank_account",
        "account": opened["id"],
        "account_holder_name": None,
        "account_holder_type": None,
        "account_type": None,
        "available_payout_methods": ["standard"],
        "bank_name": "STRIPE TEST BANK",
        "country": opened["country"],
        "currency": opened["default_currency"],
        "default_for_currency": True,
        "fingerprint": account.new_id("x")[2:18],
        "future_requirements": requirements(),
        "last4": number[-4:],
        "metadata": {},
        "requirements": requirements(),
        "routing_number": None,
        "status": "new",
        "_number": number,
    }


ROUTES = [
    Route(
        "POST",
        "/v1/accounts",
        create,
        {
            "type": text,
            "country": text,
            "email": text,
            "business_type": text,
            "capabilities": {"transfers": {"requested": boolean}},
            "metadata": metadata,
        },
    ),
    Route("GET", "/v1/accounts", list_accounts, LIST),
    Route("GET", "/v1/accounts/{id}", retrieve, {}),
    Route("POST", "/v1/accounts/{id}", update, {"email": text, "metadata": metadata}),
    Route("POST", "/v1/accounts/{id}/login_links", create_login_link, {}),
    Route(
        "POST",
        "/v1/account_links",
        create_link,
        {
            "account!": text,
            "type!": one_of("account_onboarding"),
            "refresh_url": text,
            "return_url": text,
            "collection_options": {"fields": one_of("currently_due", "eventually_due")},
        },
    ),
    Route(
        "POST",
        "/_sandbox/accounts/{id}",
        turn_knobs,
        {"disabled_reason": text, "currently_due": anything, "deauthorized": boolean},
        kind="knob",
    ),
]
