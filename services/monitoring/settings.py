"""The settings of the monitoring worker, and the rules that operators edit."""

from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from services.monitoring.domain.alarms import AlarmRule, MetricName, Severity
from services.monitoring.domain.capacity import Tier
from shared.settings import Settings

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"


class MonitoringSettings(Settings):
    """The monitoring worker's settings; a field's name in capitals is its environment variable."""

    capacity_file: Path = Field(default=DEPLOY / "capacity.yaml", description="Machines by customers.")
    alarms_file: Path = Field(default=DEPLOY / "alarms.yaml", description="Rules of alarms.")


class _TierEntry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    customers_from: int = Field(ge=0)
    vcpu: str
    ram: str
    storage: str
    database: str
    monthly_cost: str


class _AlarmEntry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    metric: MetricName
    at_least: float = Field(gt=0)
    severity: Severity
    title: str
    action: str


class Tiers(list[Tier]):
    """The rows of the infrastructure table, in ascending order."""


class AlarmRules(list[AlarmRule]):
    """The rules of alarms."""


def load_tiers(path: Path) -> Tiers:
    """Read the infrastructure table; raises ValueError for what is none."""
    entries = TypeAdapter(list[_TierEntry]).validate_python(_document(path)["tiers"])
    starts = [entry.customers_from for entry in entries]
    if starts != sorted(set(starts)):
        raise ValueError(f"{path}: customers_from must ascend")
    ends: list[int | None] = [*starts[1:], None]
    return Tiers(
        Tier(customers_to=end, **entry.model_dump()) for entry, end in zip(entries, ends, strict=True)
    )


def load_alarm_rules(path: Path) -> AlarmRules:
    """Read the rules of alarms; raises ValueError for one that is not valid."""
    entries = TypeAdapter(dict[str, _AlarmEntry]).validate_python(_document(path)["alarms"])
    return AlarmRules(AlarmRule(name=name, **entry.model_dump()) for name, entry in entries.items())


def _document(path: Path) -> Any:
    return yaml.safe_load(path.read_text())
