"""OpenTelemetry traces that follow a message from the request to the event it caused.

The trace context travels in the W3C header `traceparent`, through the outbox too. Without an OTLP endpoint
nothing is recorded or sent, but the context is still propagated.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import Context, copy_context

from opentelemetry import context as tracing_context
from opentelemetry import propagate, trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

_tracer = trace.get_tracer("tallystick")


def set_up_tracing(service: str, endpoint: str | None) -> None:
    """Send spans to an OTLP endpoint over HTTP, if one is given."""
    if endpoint is None:
        return
    provider = TracerProvider(resource=Resource.create({"service.name": f"tallystick-{service}"}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)


@contextmanager
def handling(name: str, headers: Mapping[str, str] | None) -> Iterator[None]:
    """Open a span around the handling of a message, as a child of the span in its headers."""
    if not headers and not isinstance(trace.get_tracer_provider(), TracerProvider):
        yield  # nothing is recorded, and there is no context to propagate
        return
    context = propagate.extract(headers or {})
    with _tracer.start_as_current_span(name, context=context, kind=trace.SpanKind.CONSUMER):
        yield


def context_without_trace() -> Context:
    """Copy the context without its trace, for a task that works for several callers."""
    copied = copy_context()
    copied.run(tracing_context.attach, tracing_context.Context())
    return copied


def trace_headers(headers: Mapping[str, str] | None) -> dict[str, str]:
    """Extract the trace context of a message's headers as headers; empty if there is none."""
    extracted: dict[str, str] = {}
    if headers:
        propagate.inject(extracted, propagate.extract(headers))
    return extracted


def outgoing_headers() -> dict[str, str]:
    """Return the current trace context as headers; empty if there is none."""
    headers: dict[str, str] = {}
    propagate.inject(headers)
    return headers
