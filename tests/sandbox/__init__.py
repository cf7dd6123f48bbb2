"""The local environment of `./dev up`: embedded servers, supervisor and credentials.

The Stripe stand-in is tested in `stripe/`.
No product code here; the sandbox and the product meet over the network only.
"""
