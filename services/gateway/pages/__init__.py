"""The HTML pages for customers, members and operators.

Every form works without JavaScript; the scripts in `static/` only keep a page up to date.
"""
