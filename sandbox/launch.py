"""Launcher of a program that must end with the supervisor, and must not run as root if it refuses to.

It is run by path with only the standard library: `python -ISE launch.py --parent PID … -- PROGRAM ARG…`. It
replaces itself with the program (`exec`), so the process id known to the supervisor is the program's.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import pwd
import signal
import sys

_LINUX = sys.platform == "linux"
# From <linux/prctl.h>, <linux/securebits.h> and <linux/capability.h>.
_PR_SET_PDEATHSIG = 1
_PR_SET_KEEPCAPS = 8
_PR_SET_SECUREBITS = 28
_SECBIT_NO_SETUID_FIXUP = 1 << 2
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


def become(user: str, *, bypass_directory_permissions: bool) -> None:
    """Switch from root to `user`.

    With `bypass_directory_permissions` the process keeps the capability to traverse closed directories (Linux
    only), so that a project under `/root` works without opening that directory to everyone. The secure bit
    makes the capability count for `access(2)` as well, with which `initdb` looks for its programs.
    """
    account = pwd.getpwnam(user)
    libc = ctypes.CDLL(None, use_errno=True)
    keep = bypass_directory_permissions and _LINUX
    if keep:
        libc.prctl(_PR_SET_KEEPCAPS, 1, 0, 0, 0)
        libc.prctl(_PR_SET_SECUREBITS, _SECBIT_NO_SETUID_FIXUP, 0, 0, 0)
    os.setgroups([])
    os.setgid(account.pw_gid)
    os.setuid(account.pw_uid)
    if keep:
        header = _CapabilityHeader(_CAPABILITY_VERSION_3, 0)
        bit = 1 << _CAP_DAC_OVERRIDE
        sets = (_CapabilitySet * 2)(_CapabilitySet(bit, bit, bit), _CapabilitySet(0, 0, 0))
        nothing = (_CapabilitySet * 2)()
        # A container may withhold the capability; the program then reports the path it cannot reach.
        if libc.capset(ctypes.byref(header), sets) == 0:
            libc.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, _CAP_DAC_OVERRIDE, 0, 0)
        elif libc.capset(ctypes.byref(header), nothing) != 0:
            sys.exit("cannot give up the capabilities of root")


def end_with_parent(parent_pid: int, signal_number: int) -> None:
    """Make the kernel signal this process when its parent dies (Linux only)."""
    if not _LINUX:
        return
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal_number, 0, 0, 0)
    if os.getppid() != parent_pid:  # the parent died before the call
        sys.exit(1)


def main() -> None:
    """Parse the options, switch the user if needed, and replace this process with the program."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--user")
    parser.add_argument("--bypass-directory-permissions", action="store_true")
    parser.add_argument("--signal", type=int, default=int(signal.SIGTERM))
    parser.add_argument("--parent", type=int, required=True)
    parser.add_argument("program", nargs="+")
    options = parser.parse_args()
    os.umask(0o077)
    if options.user:
        become(options.user, bypass_directory_permissions=options.bypass_directory_permissions)
    end_with_parent(options.parent, options.signal)
    os.execvp(options.program[0], options.program)


if __name__ == "__main__":
    main()
