"""Random mutations of example messages."""

import json
from copy import deepcopy
from random import Random
from typing import Any

STRANGE: list[Any] = [
    None,
    True,
    0,
    -1,
    1.5,
    2**63,
    2**64,
    -(2**63) - 1,
    1e308,
    "",
    " ",
    "a\x00b",
    "\ud800",
    "*",
    ">",
    "a.b.>",
    "../../etc/passwd",
    "x" * 5_000,
    "organization_acme",
    "user_7",
    "sub_01m81vn52pehhsdn4atbvby82d",
    "2026-13-45T99:99:99Z",
    "9999-12-31T23:59:59Z",
    "'; DROP TABLE outbox; --",
    "{{7*7}}",
    "<script>alert(1)</script>",
    [],
    {},
    [[[[[[[[]]]]]]]],
    {"type": "organization", "id": "acme"},
    {"type": "user", "id": "*"},
    ["x"] * 501,
]
"""Values that have no business in most fields, or are at the edge of what a field may be."""
NESTED_LEVELS = 2_000
BODY_MAX_BYTES = 1_000_000
"""What is larger does not leave the client; sizes around the limits have tests of their own."""
LARGE_BYTES = 700_000
"""Below the limits, so that it is parsed; what is beyond them has tests of its own."""


def mutated(random: Random, example: dict[str, Any]) -> bytes:
    """Return an example's JSON with a few random mutations, often none."""
    document = json.loads(json.dumps(example))
    for _ in range(random.choice((0, 1, 1, 1, 2, 3))):
        _change(random, document)
    # Ids of the caller's own, so that commands are not all answered from the inbox.
    if "command_id" in document and random.random() < 0.8:
        document["command_id"] = f"fuzz-{random.getrandbits(48):x}"
    body = _spoiled(random, json.dumps(document).encode())
    return body if len(body) <= BODY_MAX_BYTES else body[:BODY_MAX_BYTES]


def _change(random: Random, document: dict[str, Any]) -> None:
    """Change, remove or add one field, at any depth."""
    place: Any = document
    while isinstance(place, dict) and place and random.random() < 0.4:
        inner = place[random.choice(list(place))]
        if not isinstance(inner, dict):
            break
        place = inner
    name = random.choice([*place, "unknown_field"])
    match random.randrange(3):
        case 0:
            place.pop(name, None)
        case 1:
            place[name] = deepcopy(random.choice(STRANGE))
        case _:
            place[name] = [place.get(name)] * random.choice((1, 2, 501))


def _spoiled(random: Random, body: bytes) -> bytes:
    """The bytes, mostly as they are."""
    match random.randrange(12):
        case 0:
            return body[: random.randrange(len(body) + 1)]
        case 1:
            return body.replace(b"{", b'{"command_id": "twice", ', 1)
        case 2:
            at = random.randrange(len(body) + 1)
            return body[:at] + random.randbytes(random.randrange(1, 5)) + body[at:]
        case 3:
            return random.choice((b"", b"[]", b"null", b'"text"', b"1e999", b"NaN", b"\xff\xfe{}", b"{}{}"))
        case 4 if random.random() < 0.1:
            return b'{"a":' * NESTED_LEVELS + b"1" + b"}" * NESTED_LEVELS
        case 5 if random.random() < 0.05:
            return body.replace(b"{", b'{"note": "' + b"x" * LARGE_BYTES + b'", ', 1)
        case _:
            return body


def headers(random: Random) -> dict[str, str]:
    """Return random headers, some of which NATS or a worker interprets."""
    known = {
        "traceparent": random.choice(("00-" + "a" * 32 + "-" + "b" * 16 + "-01", "garbage", "")),
        "tracestate": "x" * random.choice((1, 600)),
        "KV-Operation": random.choice(("DEL", "PURGE", "x")),
        "Nats-Rollup": random.choice(("all", "sub")),
        "Nats-Msg-Id": random.choice(("one", "x" * 300)),
        "Nats-Expected-Last-Sequence": "7",
        "Nats-TTL": "1s",
        "Nats-Schedule": "@every 1s",
        "Billing-Reply-To": random.choice(("_INBOX.fuzz", "billing.commands.seats.x", "*", "$JS.API.INFO")),
        "Stripe-Signature": random.choice(("t=1,v1=00", "x", "t=99999999999999999999,v1=" + "0" * 64)),
        "Status": "503",
        "ce-type": "billing.subscription.canceledV1",
    }
    return {name: known[name] for name in known if random.random() < 0.15}
