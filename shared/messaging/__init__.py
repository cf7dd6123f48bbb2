"""Messaging over NATS: consumers, requests and answers, the dispatcher, dead letters and the relay."""
