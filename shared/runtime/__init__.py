"""What a worker is: a service with its handlers, its settings, its process, health, metrics and traces."""
