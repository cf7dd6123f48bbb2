"""The payouts worker: connected accounts, sellers' earnings, and payouts to them."""
