"""Checks of the workers: whether each service answers, and what its health endpoint reports."""

import asyncio
import json
import time
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from tallystick.cli.checks.findings import Finding, Level
from tallystick.cli.checks.infrastructure import get
from tallystick.cli.installation import Place
from tallystick.client import Client, DeadlineExceeded, UnexpectedReply
from tallystick.messages import COMMANDS, QUESTIONS
from tallystick.messages.base import Question

ANSWER_SECONDS = 3.0
"""Deadline for an answer; a running worker answers in milliseconds."""


async def examine(client: Client, place: Place) -> list[Finding]:
    """Check each service, and each worker whose address is known."""
    names = sorted({service for service, _ in (*COMMANDS, *QUESTIONS)})
    answers = await asyncio.gather(*(_service(client, name) for name in names))
    workers: Mapping[str, str] = place.endpoints.get("workers", {})
    health = await asyncio.gather(*(_worker(name, url) for name, url in sorted(workers.items())))
    return [*answers, *health, *await _ingress(place)]


def _harmless_question(service: str) -> Question[Any] | None:
    """Return a question of the service that needs no fields; None when it has none."""
    for (owner, _), model in sorted(QUESTIONS.items()):
        if owner == service:
            try:
                return model.model_validate({"limit": 1} if "limit" in model.model_fields else {})
            except ValidationError:
                continue
    return None


async def _service(client: Client, service: str) -> Finding:
    question = _harmless_question(service)
    if question is None:
        return Finding(Level.UNKNOWN, service, "has no question without required fields")
    start = time.perf_counter()
    try:
        outcome = await client.answer(question, deadline_seconds=ANSWER_SECONDS)
    except DeadlineExceeded as problem:
        advice = f"Start it: `python -m services.{service}.app`; its log says what keeps it from answering."
        return Finding(Level.BROKEN, service, problem.last_problem, advice)
    except UnexpectedReply as problem:
        return Finding(
            Level.BROKEN, service, str(problem), "Another version runs there; update this client or it."
        )
    milliseconds = (time.perf_counter() - start) * 1000
    return Finding(
        Level.GOOD, service, f"answers {question.name} ({outcome.status}) in {milliseconds:.0f} ms"
    )


async def _worker(name: str, url: str) -> Finding:
    what = f"  {name} health"
    status, body = await asyncio.to_thread(get, f"{url}/ready")
    if status == 200:
        return Finding(Level.GOOD, what, f"ready at {url}")
    if status == 0:
        return Finding(Level.BROKEN, what, f"{url} does not answer: {body}", "Start the worker.")
    return Finding(
        Level.BROKEN,
        what,
        f"not ready: {_problems(body)}",
        "Fix the reported problem; the worker then continues by itself.",
    )


def _problems(body: str) -> str:
    try:
        document = json.loads(body)
    except ValueError:
        return body[:200]
    problems = document.get("problems", document) if isinstance(document, dict) else document
    if isinstance(problems, dict):
        return "; ".join(f"{about}: {problem}" for about, problem in problems.items())
    return str(problems)


async def _ingress(place: Place) -> list[Finding]:
    url = place.endpoints.get("webhooks")
    if not url:
        return []
    # The request is unsigned, so that a correctly configured ingress rejects it and stores nothing.
    status, body = await asyncio.to_thread(get, url, b"{}")
    if status == 400:
        return [Finding(Level.GOOD, "Stripe ingress", f"{url} refuses what is not signed")]
    if status == 0:
        return [
            Finding(
                Level.BROKEN, "Stripe ingress", f"{url} does not answer: {body}", "Start the webhooks worker."
            )
        ]
    advice = "Is STRIPE_WEBHOOK_SECRET set for the webhooks worker?"
    return [Finding(Level.BROKEN, "Stripe ingress", f"{url} answers {status} to what is not signed", advice)]
