"""Web side of the mail catcher: a page with the mails, and the JSON API."""

from __future__ import annotations

import email
import email.policy
import html
from email.message import EmailMessage
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from sandbox.mailbox.storage import CaughtMail, Storage

LISTED_MAX = 1_000
LISTED_DEFAULT = 200
SHOWN_MAX = 100
MAIL_POLICY = (
    "sandbox allow-popups allow-popups-to-escape-sandbox; default-src 'none'; img-src https: data:; "
)
MAIL_POLICY += "style-src 'unsafe-inline'"
"""A shown mail runs no script and has no access to the page around it."""
STYLE = """
:root { color-scheme: light dark; }
body { font: 15px/1.45 system-ui, sans-serif; margin: 0 auto; max-width: 1000px; padding: 16px; }
h1 { font-size: 20px; } input { font: inherit; padding: 4px 8px; } table { border-collapse: collapse; width:
100%; } td, th { text-align: left; padding: 8px; border-bottom: 1px solid #8884; vertical-align: top; }
iframe { width: 100%; height: 75vh; border: 1px solid #8884; background: #fff; color-scheme: light; }
pre { white-space: pre-wrap; word-break: break-word; border: 1px solid #8884; padding: 12px; }
"""


def make_app(storage: Storage) -> Starlette:
    """Create the ASGI application."""

    def listed(request: Request) -> JSONResponse:
        query = request.query_params
        limit = query.get("limit", "")
        found = storage.search(
            query.get("to", ""),
            query.get("subject", ""),
            min(int(limit), LISTED_MAX) if limit.isdigit() else LISTED_DEFAULT,
        )
        return JSONResponse([document(mail) for mail in found])

    def cleared(_: Request) -> Response:
        storage.clear()
        return Response(status_code=204)

    def inbox(request: Request) -> Response:
        query = request.query_params
        to, subject = query.get("to", ""), query.get("subject", "")
        return _page(_inbox(storage.search(to, subject, SHOWN_MAX), storage.count(), to, subject))

    def shown(request: Request) -> Response:
        mail = storage.find(request.path_params["number"])
        return _page(_mail(mail)) if mail else _page("<h1>This mail is not here any more</h1>", 404)

    def contents(request: Request) -> Response:
        mail = storage.find(request.path_params["number"])
        content = document(mail)["html"] if mail else ""
        return HTMLResponse(content, headers={"Content-Security-Policy": MAIL_POLICY})

    return Starlette(
        routes=[
            Route("/", inbox),
            Route("/mails/{number:int}", shown),
            Route("/mails/{number:int}/html", contents),
            Route("/api/messages", listed, methods=["GET"]),
            Route("/api/messages", cleared, methods=["DELETE"]),
        ]
    )


def document(mail: CaughtMail) -> dict[str, Any]:
    """Return a mail as JSON."""
    message = email.message_from_bytes(mail.content, policy=email.policy.default)
    assert isinstance(message, EmailMessage)
    return {
        "message_id": str(message.get("Message-ID", "")).strip(),
        "to": mail.recipients,
        "from": str(message.get("From", mail.sender)),
        "subject": str(message.get("Subject", "")),
        "text": _part(message, "plain"),
        "html": _part(message, "html"),
        "headers": {name: str(value) for name, value in message.items()},
        "received_at": mail.received_at,
    }


def _part(message: EmailMessage, subtype: str) -> str:
    part = message.get_body((subtype,))
    return str(part.get_content()) if part is not None else ""


def _inbox(mails: list[CaughtMail], count: int, to: str, subject: str) -> str:
    rows = "".join(
        f"<tr><td>{html.escape(mail.received_at[11:19])}</td><td>{html.escape(shown['to'])}</td>"
        f'<td><a href="/mails/{mail.number}">{html.escape(shown["subject"]) or "(no subject)"}</a></td></tr>'
        for mail, shown in ((mail, document(mail)) for mail in mails)
    )
    return (
        f"<h1>Mailbox: {count} mails</h1><p>Every mail of this sandbox ends here; nothing is delivered.</p>"
        f'<form><input name="to" placeholder="to" value="{html.escape(to)}"> '
        f'<input name="subject" placeholder="subject" value="{html.escape(subject)}"> '
        f"<button>Search</button></form>"
        f"<table><tr><th>Time</th><th>To</th><th>Subject</th></tr>{rows}</table>"
    )


def _mail(mail: CaughtMail) -> str:
    shown = document(mail)
    headers = "\n".join(f"{name}: {value}" for name, value in shown["headers"].items())
    frame = f'<iframe sandbox="allow-popups" src="/mails/{mail.number}/html" title="The mail"></iframe>'
    return (
        f'<p><a href="/">Mailbox</a></p><h1>{html.escape(shown["subject"])}</h1>'
        f"<p>From {html.escape(shown['from'])} to {html.escape(shown['to'])}, {mail.received_at}</p>"
        f"{frame if shown['html'] else ''}<h2>Text</h2><pre>{html.escape(shown['text'])}</pre>"
        f"<h2>Headers</h2><pre>{html.escape(headers)}</pre>"
    )


def _page(content: str, status: int = 200) -> HTMLResponse:
    head = '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
    return HTMLResponse(
        f"<!doctype html><html lang=en><head>{head}<title>Mailbox</title><style>{STYLE}</style></head>"
        f"<body>{content}</body></html>",
        status,
        {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; frame-src 'self'"},
    )
