"""Rules of licenses: terms, times, places, keys and the check of files.

Pure functions and values only.
Commands on licenses are in `tests/use_cases/licenses`.
"""
