"""What is kept in Postgres: the unit of work with its inbox and outbox, and how statements travel."""
