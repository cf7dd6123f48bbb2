"""The process of a worker: logs, traces, garbage collector and HTTP server, the same for all workers."""

import gc

import uvicorn
from starlette.types import ASGIApp

from shared.observability.logging_setup import set_up_logs
from shared.observability.tracing import set_up_tracing
from shared.settings import CommonSettings
from shared.tuning import GC_ALLOCATIONS, GRACEFUL_STOP_SECONDS


def prepare(name: str, settings: CommonSettings) -> None:
    """Set up logs, traces and the garbage collector of the worker `name`, before its application is built."""
    gc.set_threshold(GC_ALLOCATIONS, *gc.get_threshold()[1:])
    set_up_logs(name, style=settings.log_format, level=settings.log_level)
    set_up_tracing(name, settings.otel_exporter_otlp_endpoint)


def serve(application: ASGIApp, settings: CommonSettings) -> None:
    """Serve an ASGI application on HEALTH_HOST and HEALTH_PORT until the process is signalled to stop."""
    uvicorn.run(
        application,
        host=settings.health_host,
        port=settings.health_port,
        loop="uvloop",
        http="httptools",
        access_log=False,
        proxy_headers=False,
        log_config=None,
        server_header=False,
        timeout_graceful_shutdown=int(GRACEFUL_STOP_SECONDS),
    )
