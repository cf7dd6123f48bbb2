"""The exception that domain rules raise; handlers convert it to a rejection."""

Detail = str | int | None


class RuleViolation(Exception):
    """A request that breaks a rule, with its error code, message and details."""

    def __init__(self, code: str, message: str, **details: Detail) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.details = details
