"""Tests of the product, in a folder for each level at which it is tested.

Each folder says what belongs in it; start with the fastest level that can show the fault.
No product code here; what several modules share is in `tests/support`.
"""
