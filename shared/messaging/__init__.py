"""What carries messages: consumers, requests and answers, handling a message once, the relay."""
