"""Links in mails: to the pages, to an invitation, and signed ones that need no sign-in."""

import base64
import hmac
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from tallystick.messages.notifications import Kind

LINK_LIFETIME = timedelta(days=90)
"""How long a link from a mail works; List-Unsubscribe must for at least 60 days after the mail (RFC 8058)."""
_PURPOSE = b"tallystick mail link\x00"


class LinkInvalid(Exception):
    """A link is not signed by this installation, or has expired."""


@dataclass(frozen=True, slots=True)
class SignedLinks:
    """Signs and reads the tokens of links, which name a recipient and expire.

    A token opens the preferences of its recipient and nothing else.
    """

    secrets: Sequence[bytes]
    """The first one signs; all are accepted."""

    def sign(self, party: str, kind: Kind, now: datetime) -> str:
        """Make the token of a recipient's link, in a mail of a kind."""
        body = json.dumps([party, kind, int((now + LINK_LIFETIME).timestamp())]).encode()
        return f"{_encode(body)}.{_encode(self._signature(self.secrets[0], body))}"

    def read(self, token: str, now: datetime) -> tuple[str, Kind]:
        """Return the recipient and the kind of a token; raise LinkInvalid."""
        try:
            body, signature = (_decode(part) for part in token.split("."))
        except ValueError:
            raise LinkInvalid from None
        if not any(hmac.compare_digest(signature, self._signature(one, body)) for one in self.secrets):
            raise LinkInvalid
        party, kind, expires = json.loads(body)
        if now.timestamp() > expires:
            raise LinkInvalid
        return party, kind

    def _signature(self, secret: bytes, body: bytes) -> bytes:
        return hmac.new(secret, _PURPOSE + body, "sha256").digest()


def _encode(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


def _decode(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
