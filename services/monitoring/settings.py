"""The settings of the monitoring worker: those of every worker with tables."""

from shared.settings import Settings


class MonitoringSettings(Settings):
    """The monitoring worker's settings; a field's name in capitals is its environment variable."""
