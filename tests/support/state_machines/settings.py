"""Settings of state machines: a few fixed examples in a test run, many new ones on request."""

import os

from hypothesis import HealthCheck, Phase, settings


def looking(variable: str, few: int, *, steps: int = 25, shrinks: bool = True) -> settings:
    """Return settings with `few` fixed examples, or as many new ones as the environment variable says."""
    asked = os.environ.get(variable)
    return settings(
        max_examples=int(asked or few),
        stateful_step_count=steps,
        deadline=None,
        derandomize=asked is None,
        database=None,
        phases=(Phase.generate, Phase.shrink) if asked and shrinks else (Phase.generate,),
        suppress_health_check=list(HealthCheck),
    )
