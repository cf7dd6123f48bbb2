"""Wiring: the gateway's worker, which keeps no tables and asks the other services."""

from services.gateway.application import NAME, make_application
from services.gateway.settings import GatewaySettings
from shared.runtime.process import serve


def main() -> None:
    """Run until told to stop."""
    settings = GatewaySettings()
    serve(NAME, settings, lambda: make_application(settings))


if __name__ == "__main__":
    main()
