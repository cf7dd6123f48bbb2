"""Writes docs/openapi.json from the routes, or checks that it is up to date."""

import argparse
import json
import sys

from services.gateway.application import make_api
from services.gateway.openapi import DOCUMENT


def main() -> None:
    """Write docs/openapi.json; with `--check`, compare it and exit with an error if it differs."""
    parser = argparse.ArgumentParser(prog="python -m services.gateway.openapi", description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare instead of writing")
    text = json.dumps(make_api().openapi(), indent=2, ensure_ascii=False) + "\n"
    if parser.parse_args().check:
        if not DOCUMENT.exists() or DOCUMENT.read_text() != text:
            sys.exit("docs/openapi.json is out of date: python -m services.gateway.openapi")
    else:
        DOCUMENT.write_text(text)


if __name__ == "__main__":
    main()
