"""Bodies, headers, subjects and routes that nobody thought of, against a running system.

What belongs here: what makes attempts by chance, and what must hold whatever they were. `./dev fuzz` runs it
for an hour, `test_fuzz.py` for a minute. An attempt that finds something becomes a test beside its feature.
"""
