"""Records which page links were opened and which sessions were ended.

Links and sessions are signed tokens that contain everything else. These two facts must be known to every
replica of the gateway, so they are kept in a key-value bucket, a little longer than the tokens are valid.
"""

from dataclasses import dataclass

import nats.errors
from nats.js import api
from nats.js.errors import APIError, NotFoundError

from services.gateway.problem_details import ProblemError
from services.gateway.service_client import RETRY_SOON, ServiceClient
from tallystick.subjects import SESSIONS_BUCKET, kv_subject

STREAM = f"KV_{SESSIONS_BUCKET}"
WRONG_LAST_SEQUENCE = 10071
"""JetStream's error code if a key that must be new exists already."""


@dataclass(frozen=True, slots=True)
class SessionRecords:
    """Reads and writes the records."""

    services: ServiceClient

    async def open_link(self, link_id: str) -> bool:
        """Record that a link was opened; return False if it was opened before. Raises ProblemError."""
        only_if_new = {api.Header.EXPECTED_LAST_SUBJECT_SEQUENCE.value: "0"}
        try:
            await self._put(f"link.{link_id}", only_if_new)
        except APIError as error:
            if error.err_code == WRONG_LAST_SEQUENCE:
                return False
            raise _unavailable() from error
        return True

    async def end_session(self, session_id: str) -> None:
        """Record that a session was ended. Raises ProblemError."""
        try:
            await self._put(f"ended.{session_id}", {})
        except APIError as error:
            raise _unavailable() from error

    async def is_ended(self, session_id: str) -> bool:
        """Return whether a session was ended. Raises ProblemError if the bucket is unavailable."""
        jetstream = self.services.connection().jetstream()
        try:
            await jetstream.get_last_msg(
                STREAM, kv_subject(SESSIONS_BUCKET, f"ended.{session_id}"), direct=True
            )
        except NotFoundError:
            return False
        except (nats.errors.Error, TimeoutError) as error:
            raise _unavailable() from error
        return True

    async def _put(self, key: str, headers: dict[str, str]) -> None:
        jetstream = self.services.connection().jetstream()
        try:
            await jetstream.publish(kv_subject(SESSIONS_BUCKET, key), b"", headers=headers, stream=STREAM)
        except APIError:
            raise
        except (nats.errors.Error, TimeoutError) as error:
            raise _unavailable() from error


def _unavailable() -> ProblemError:
    return ProblemError(
        "unavailable", "Sessions cannot be looked up just now. Try again.", headers=RETRY_SOON
    )
