"""Grants of units: given by a plan or by hand, renewed with the period, ended when they expire."""
