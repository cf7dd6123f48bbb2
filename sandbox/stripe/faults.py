"""Stripe's errors: one exception, rendered as the error JSON that the SDK turns into its own exceptions."""

from __future__ import annotations

from typing import Any

DOCS_URL = "https://stripe.com/docs/error-codes/"


class StripeFault(Exception):
    """An answer that is an error. `status` is HTTP's, the other names are those of Stripe's error object.

    A fault with status 402 (a payment that failed) keeps what was done before it, as Stripe keeps the failed
    payment intent; any other fault undoes the whole request.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int = 400,
        type: str = "invalid_request_error",  # noqa: A002 - Stripe's name
        code: str | None = None,
        param: str | None = None,
        decline_code: str | None = None,
        **objects: Any,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.type = type
        self.code = code
        self.param = param
        self.decline_code = decline_code
        self.objects = objects
        """Objects told along with the error: `payment_intent`, `setup_intent`, `charge` …"""

    def body(self) -> dict[str, Any]:
        """The error as Stripe writes it, without what is absent."""
        error: dict[str, Any] = {"type": self.type, "message": self.message}
        if self.code is not None:
            error["code"] = self.code
            error["doc_url"] = DOCS_URL + self.code.replace("_", "-")
        for name in ("param", "decline_code"):
            if getattr(self, name) is not None:
                error[name] = getattr(self, name)
        error.update(self.objects)
        return {"error": error}


def missing_object(kind: str, object_id: str, *, param: str = "id", status: int = 404) -> StripeFault:
    """What Stripe says of an id it does not know; 404 in a path, 400 in a parameter."""
    name = kind.rsplit(".", 1)[-1].replace("_", " ")
    return StripeFault(f"No such {name}: '{object_id}'", status=status, code="resource_missing", param=param)


def missing_parameter(param: str) -> StripeFault:
    """A required parameter was not given."""
    return StripeFault(f"Missing required param: {param}.", code="parameter_missing", param=param)


def unknown_parameter(param: str) -> StripeFault:
    """A parameter that this method does not take."""
    return StripeFault(f"Received unknown parameter: {param}", code="parameter_unknown", param=param)


def invalid(message: str, param: str | None = None, code: str | None = None) -> StripeFault:
    """A request that is well formed and cannot be done."""
    return StripeFault(message, code=code, param=param)
