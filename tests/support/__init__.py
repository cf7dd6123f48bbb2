"""What several test modules share: servers, worlds, state machines, builders and waiting.

Test modules and conftests import helpers from here and never from one another.
No tests here, and nothing of the product.
"""
