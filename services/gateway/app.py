"""The entry point of the gateway's process."""

from services.gateway.application import NAME, make_application
from services.gateway.settings import GatewaySettings
from shared.runtime.process import prepare, serve


def main() -> None:
    """Run the gateway until it receives a signal to stop."""
    settings = GatewaySettings()
    prepare(NAME, settings)
    serve(make_application(settings), settings)


if __name__ == "__main__":
    main()
