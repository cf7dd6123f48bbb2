"""Authentication and authorization: bearer tokens, links and sessions, and who owns what."""
