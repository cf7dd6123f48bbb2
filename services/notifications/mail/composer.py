"""Makes the mail of a notification: contents, links, headers, and the token of an invitation."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from email.charset import QP, Charset
from email.header import Header
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText
from email.utils import format_datetime, formataddr, parseaddr
from typing import Any

from services.notifications.domain.kinds import KINDS, OPTIONAL_KINDS
from services.notifications.mail.links import SignedLinks
from services.notifications.mail.renderer import MailLinks, RenderedMail, Renderer
from tallystick.messages.notifications import Kind, Language
from tallystick.messages.seats import invitation_token

BOUNDARY_BYTES = 16
"""Random bytes in the boundary between a mail's parts: so many that no part has to be searched for it."""
PAGES = {"billing": "/billing", "plans": "/plans", "payouts": "/billing/payouts", "admin": "/admin"}

_QUOTED_PRINTABLE = Charset("utf-8")
_QUOTED_PRINTABLE.body_encoding = QP


@dataclass(frozen=True, slots=True)
class Sender:
    """The sender of all mails."""

    address: str
    name: str
    reply_to: str | None = None

    @classmethod
    def of(cls, mail_from: str, reply_to: str | None) -> "Sender":
        """Parse `MAIL_FROM`, an address with or without a name; raises ValueError for something else."""
        name, address = parseaddr(mail_from)
        if "@" not in address or any(sign.isspace() for sign in address):
            raise ValueError("MAIL_FROM must look like Billing <billing@example.com>")
        return cls(address, name, reply_to)

    @property
    def domain(self) -> str:
        """The domain of the sender's address."""
        return self.address.rpartition("@")[2]


@dataclass(frozen=True, slots=True)
class Composer:
    """Composes mails."""

    renderer: Renderer
    links: SignedLinks
    sender: Sender
    public_url: str
    invitation_secret: bytes | None

    def compose(
        self,
        kind: Kind,
        language: Language,
        facts: Mapping[str, Any],
        *,
        party: str,
        to: str,
        message_id: str,
        now: datetime,
    ) -> bytes:
        """Compose a mail to one valid address (`deliverable_address`).

        With the older classes of Python's `email`, which take a fifth of `EmailMessage`'s time. Nothing in a
        header has a line break: the subject is made one line, and addresses are valid.
        """
        token = self.links.sign(party, kind, now)
        links = self._links(kind, facts, token)
        rendered = self.renderer.render(kind, language, facts, links)
        message = MIMEMultipart("alternative", secrets.token_hex(BOUNDARY_BYTES))
        message["From"] = formataddr((self.sender.name, self.sender.address))
        message["To"] = to
        if self.sender.reply_to:
            message["Reply-To"] = self.sender.reply_to
        message["Subject"] = _header(" ".join(rendered.subject.split()))
        message["Date"] = format_datetime(now)
        message["Message-ID"] = message_id
        message["Auto-Submitted"] = "auto-generated"
        if links.unsubscribe:
            message["List-Unsubscribe"] = f"<{links.unsubscribe}>"
            message["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
        message.attach(_part(rendered.text, "plain"))
        message.attach(_part(rendered.html, "html"))
        return message.as_bytes()

    def preview(self, kind: Kind, language: Language, facts: Mapping[str, Any]) -> RenderedMail:
        """Render a mail whose links lead to the pages and whose tokens are worth nothing."""
        return self.renderer.render(kind, language, facts, self._links(kind, facts, "sample"))

    def _links(self, kind: Kind, facts: Mapping[str, Any], token: str) -> MailLinks:
        if KINDS[kind].audience == "operator":
            return MailLinks(self._button(kind, facts))
        page = f"{self.public_url}/notifications/{token}"
        unsubscribe = f"{page}/unsubscribe" if kind in OPTIONAL_KINDS else None
        return MailLinks(self._button(kind, facts), page, unsubscribe)

    def _button(self, kind: Kind, facts: Mapping[str, Any]) -> str | None:
        target = KINDS[kind].target
        if target is None:
            return None
        if target == "claim":
            return f"{self.public_url}/claim/{self._invitation_token(facts)}"
        if facts.get("given_back") == "already_subscribed":
            target = "billing"  # the plan they have, not others to choose from
        invoice_url = str(facts.get("invoice_url") or "")
        if (
            target == "invoice"
            and invoice_url.startswith("https://")
            and not set(invoice_url) & set(" \"'<>")
        ):
            return invoice_url
        return self.public_url + PAGES.get(target, PAGES["billing"])

    def _invitation_token(self, facts: Mapping[str, Any]) -> str:
        if "command_id" not in facts or self.invitation_secret is None:
            return "sample"
        return invitation_token(self.invitation_secret, facts["command_id"], facts["seat_id"])


def _header(text: str) -> str:
    return text if text.isascii() else Header(text, "utf-8").encode()


def _part(content: str, subtype: str) -> MIMEText:
    return MIMEText(content, subtype, _QUOTED_PRINTABLE)  # type: ignore[arg-type] # a Charset is taken, too
