"""Runs a worker under cProfile: `python -m tests.support.profiled_worker FILE MODULE [ARGUMENT ...]`."""

import cProfile
import runpy
import signal
import sys


def main() -> None:
    """Profile the module until it ends, also by the SIGTERM that uvicorn raises again after its shutdown."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    file, module, *arguments = sys.argv[1:]
    sys.argv = [module, *arguments]
    profile = cProfile.Profile()
    try:
        profile.runcall(runpy.run_module, module, run_name="__main__", alter_sys=True)
    finally:
        profile.dump_stats(file)


if __name__ == "__main__":
    main()
