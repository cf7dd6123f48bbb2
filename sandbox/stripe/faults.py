"""Stripe's errors: one exception, rendered as the error JSON that the SDK maps to its exceptions."""

from __future__ import annotations

from typing import Any

DOCS_URL = "https://stripe.com/docs/error-codes/"


class StripeFault(Exception):
    """Error response. `status` is the HTTP status, other names are those of Stripe's error object.

    A fault with status 402 (a failed payment) keeps earlier changes, as Stripe keeps the failed payment
    intent. Any other fault rolls back the whole request.
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
        """Objects contained in the error: `payment_intent`, `setup_intent`, `charge` …"""

    def body(self) -> dict[str, Any]:
        """Return Stripe's error object without absent fields."""
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
    """Return the fault of an unknown id; 404 in a path, 400 in a parameter."""
    name = kind.rsplit(".", 1)[-1].replace("_", " ")
    return StripeFault(f"No such {name}: '{object_id}'", status=status, code="resource_missing", param=param)


def missing_parameter(param: str) -> StripeFault:
    """Return the fault of a missing required parameter."""
    return StripeFault(f"Missing required param: {param}.", code="parameter_missing", param=param)


def unknown_parameter(param: str) -> StripeFault:
    """Return the fault of an unknown parameter."""
    return StripeFault(f"Received unknown parameter: {param}", code="parameter_unknown", param=param)


def invalid(message: str, param: str | None = None, code: str | None = None) -> StripeFault:
    """Return the fault of a well-formed request that cannot be carried out."""
    return StripeFault(message, code=code, param=param)
