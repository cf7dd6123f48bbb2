"""Random bodies, headers, subjects and routes against a running system.

`./dev fuzz` sends them for an hour, `test_fuzz.py` for a minute; both check that nothing breaks.
No test of a single fault here: an input that finds one becomes a test beside its feature.
"""
