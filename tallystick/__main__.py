"""Entry point of `python -m tallystick`, the command line client."""

from tallystick.cli import main

if __name__ == "__main__":
    main()
