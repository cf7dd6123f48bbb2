"""Starts a program that ends with the supervisor, and not as root where it refuses to be.

Run by its path, with the standard library alone: `python -ISE launch.py --parent PID … -- PROGRAM ARG…`.
It becomes the program (`exec`), so the process id the supervisor knows is the program's own.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import pwd
import signal
import sys

_LINUX = sys.platform == "linux"
# From <linux/prctl.h> and <linux/capability.h>.
_PR_SET_PDEATHSIG = 1
_PR_SET_KEEPCAPS = 8
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_RAISE = 2
_CAPABILITY_VERSION_3 = 0x20080522
_CAP_DAC_OVERRIDE = 1


class _CapabilityHeader(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _CapabilitySet(ctypes.Structure):
    _fields_ = (
        ("effective", ctypes.c_uint32),
        ("permitted", ctypes.c_uint32),
        ("inheritable", ctypes.c_uint32),
    )


def become(user: str, *, reach_everywhere: bool) -> None:
    """Give up root for `user`.

    With `reach_everywhere` the right to pass directories is kept (Linux only): a project under `/root` is
    then usable without opening that directory to everybody.
    """
    account = pwd.getpwnam(user)
    libc = ctypes.CDLL(None, use_errno=True)
    keep = reach_everywhere and _LINUX
    if keep:
        libc.prctl(_PR_SET_KEEPCAPS, 1, 0, 0, 0)
    os.setgroups([])
    os.setgid(account.pw_gid)
    os.setuid(account.pw_uid)
    if keep:
        header = _CapabilityHeader(_CAPABILITY_VERSION_3, 0)
        bit = 1 << _CAP_DAC_OVERRIDE
        sets = (_CapabilitySet * 2)(_CapabilitySet(bit, bit, bit), _CapabilitySet(0, 0, 0))
        # A container may withhold the capability: the program then says itself which path it cannot reach.
        if libc.capset(ctypes.byref(header), sets) == 0:
            libc.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, _CAP_DAC_OVERRIDE, 0, 0)


def end_with_parent(parent_pid: int, signal_number: int) -> None:
    """Ask the kernel to signal this process when its parent dies, however it dies (Linux only)."""
    if not _LINUX:
        return
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal_number, 0, 0, 0)
    if os.getppid() != parent_pid:  # it died before we asked
        sys.exit(1)


def main() -> None:
    """Read the options, change what has to change, and become the program."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--user")
    parser.add_argument("--reach-everywhere", action="store_true")
    parser.add_argument("--signal", type=int, default=int(signal.SIGTERM))
    parser.add_argument("--parent", type=int, required=True)
    parser.add_argument("program", nargs="+")
    options = parser.parse_args()
    os.umask(0o077)
    if options.user:
        become(options.user, reach_everywhere=options.reach_everywhere)
    end_with_parent(options.parent, options.signal)
    os.execvp(options.program[0], options.program)


if __name__ == "__main__":
    main()
