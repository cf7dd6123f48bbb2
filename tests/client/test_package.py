"""The package that other teams install: typed, light, and complete without this repository."""

import subprocess
import sys
import sysconfig
import venv
import zipfile
from email.message import Message
from email.parser import Parser
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SAMPLE = """
from tallystick import connect
from tallystick.messages.base import Customer
from tallystick.messages.consumables import Consume, Consumed


async def use(nats_url: str) -> int:
    async with connect(nats_url) as billing:
        ann = Customer(type="user", id="ann")
        command = Consume(command_id="order-1", consumer=ann, feature="credits", quantity=1)
        consumed: Consumed = await billing.call(command)
        return consumed.consumed
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from this checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    return next(folder.glob("*.whl"))


def metadata(wheel: Path) -> Message:
    with zipfile.ZipFile(wheel) as archive:
        name = next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        return Parser().parsestr(archive.read(name).decode())


def test_the_client_needs_nats_and_pydantic_alone(wheel: Path) -> None:
    required = [one for one in metadata(wheel).get_all("Requires-Dist", []) if "extra ==" not in one]
    assert sorted(one.split("<")[0].split(">")[0].strip() for one in required) == ["nats-py", "pydantic"]


def test_importing_the_client_loads_nothing_of_the_command_line() -> None:
    program = "import sys, tallystick; print({'typer', 'rich', 'yaml'} & set(sys.modules))"
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "set()"


def test_strict_type_checks_pass_on_the_installed_package(wheel: Path, tmp_path: Path) -> None:
    venv.create(tmp_path / "venv", with_pip=False)
    python = tmp_path / "venv" / "bin" / "python"
    site = tmp_path / "venv" / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}" / "site-packages"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    (site / "dependencies.pth").write_text(sysconfig.get_paths()["purelib"])
    (tmp_path / "sample.py").write_text(SAMPLE)
    command = [sys.executable, "-m", "mypy", "--strict", "--python-executable", str(python), "sample.py"]
    found = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout
