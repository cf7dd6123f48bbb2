"""The worker: its process, its connections and its health endpoints."""
