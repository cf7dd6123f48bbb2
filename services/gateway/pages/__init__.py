"""The pages: what a customer, a member and an operator see in a browser.

Every form works without a script; the scripts of `static/` only keep a page fresh.
"""
