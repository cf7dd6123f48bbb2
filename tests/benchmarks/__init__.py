"""Benchmarks: programs that measure rates and delays, run with `./dev bench`.

They use real servers and print one JSON line each.
No tests here: pytest collects nothing in this folder.
"""
