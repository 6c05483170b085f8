"""What the repository itself must hold to: pinned packages, and nothing of the machine it was written on."""

import os
import re
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parent.parent

# Written apart, so that this file does not hold what it looks for.
REGISTRIES = tuple(
    ".".join(parts)
    for parts in (
        ("pypi", "org"),
        ("pythonhosted", "org"),
        ("npmjs", "org"),
        ("proxy", "golang", "org"),
        ("sum", "golang", "org"),
        ("repo1", "maven", "org"),
        ("repo", "maven", "apache", "org"),
        ("crates", "io"),
        ("deb", "debian", "org"),
        ("archive", "ubuntu", "com"),
    )
)
REGISTRY_SETTINGS = (
    "GOPROXY",
    "NPM_CONFIG_REGISTRY",
    "PIP_EXTRA_INDEX_URL",
    "PIP_INDEX_URL",
    "UV_DEFAULT_INDEX",
    "UV_INDEX_URL",
)
MACHINE_PATH = re.compile(r"(?<![\w.~$}-])/(?:farm|home|root|Users|work)/[\w.-]")
PINNED = re.compile(r"^(?P<name>[\w.-]+)==(?P<version>[^\s;]+)(?: ; (?P<marker>.+?))? \\$", re.MULTILINE)


def tracked_texts() -> Iterator[tuple[str, str]]:
    """Name and content of each text file of the repository."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True)
    for name in filter(None, listed.stdout.split("\0")):
        content = (ROOT / name).read_bytes() if (ROOT / name).is_file() else b""
        if b"\0" not in content:
            yield name, content.decode("utf-8")


def registry_hosts() -> set[str]:
    """The public registries, and those this machine is set up with."""
    set_here = " ".join(os.environ.get(name, "") for name in REGISTRY_SETTINGS)
    hosts = {urlsplit(word).hostname for word in re.split(r"[\s,|]+", set_here)}
    return {*REGISTRIES, *(host for host in hosts if host)}


# Distribution -> what is imported of it, where the names differ.
IMPORTED_AS = {
    "prometheus-api-client": "prometheus_api_client",
    "prometheus-client": "prometheus_client",
    "promql-parser": "promql_parser",
    "protobuf": "google.protobuf",
    "ruamel-yaml": "ruamel.yaml",
    "slack-sdk": "slack_sdk",
}
# uvicorn loads these two itself, when it is told their names.
NAMED = {"httptools", "uvloop"}


def product() -> str:
    """All source of the packages that are installed, generated code included."""
    parts = ("analysis/", "guardian/", "simulator/")
    return "\n".join(text for name, text in tracked_texts() if name.endswith(".py") and name.startswith(parts))


def runtime_requirements() -> list[str]:
    """Normal names of what the installed product asks for."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    return [normal(Requirement(line).name) for line in project["project"]["dependencies"]]


def normal(name: str) -> str:
    """The one spelling of a distribution's name."""
    return re.sub(r"[-_.]+", "-", name).lower()


def pins() -> dict[str, list[str]]:
    """Normal name of each pinned package -> its versions (more than one where markers choose)."""
    found: dict[str, list[str]] = {}
    for pin in PINNED.finditer((ROOT / "constraints.txt").read_text(encoding="utf-8")):
        found.setdefault(pin["name"], []).append(pin["version"])
    return found


def requirements() -> list[Requirement]:
    """What pyproject.toml asks for: the product, its tests and its build."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    wanted = [
        *project["project"]["dependencies"],
        *project["dependency-groups"]["dev"],
        *project["build-system"]["requires"],
    ]
    return [Requirement(line) for line in wanted]


def test_no_file_names_a_registry() -> None:
    """Where packages come from is a matter of the machine, and a mirror's name is nobody's business."""
    named = [(name, host) for name, text in tracked_texts() for host in sorted(registry_hosts()) if host in text]
    assert named == []


def test_no_file_names_a_path_of_a_machine() -> None:
    """Such a path works for its author only."""
    named = [(name, found.group()) for name, text in tracked_texts() for found in MACHINE_PATH.finditer(text)]
    assert named == []


@pytest.mark.parametrize("text", ["cd /ho" + "me/ann/x", "open('/ro" + "ot/.cache')", "=/wo" + "rk/main"])
def test_a_path_of_a_machine_is_seen(text: str) -> None:
    """The search above finds what it is for."""
    assert MACHINE_PATH.search(text)


@pytest.mark.parametrize("text", ["api/home/x", "$HOME/work/x", "~/work/x", "https://host/work/x"])
def test_other_paths_are_left_alone(text: str) -> None:
    """A URL or a path below a variable says nothing of a machine."""
    assert not MACHINE_PATH.search(text)


def test_no_lock_file_with_addresses_is_tracked() -> None:
    """Lock files of uv and poetry hold a registry's address in every entry; constraints.txt holds none."""
    names = {Path(name).name for name, _ in tracked_texts()}
    assert names.isdisjoint({"uv.lock", "poetry.lock", "Pipfile.lock"})


@pytest.mark.parametrize("requirement", requirements(), ids=lambda requirement: requirement.name)
def test_every_requirement_is_pinned(requirement: Requirement) -> None:
    """constraints.txt is not older than pyproject.toml; `make lock` renews it."""
    versions = pins().get(normal(requirement.name), [])
    assert versions
    assert all(requirement.specifier.contains(version, prereleases=True) for version in versions)


def test_every_pin_has_hashes() -> None:
    """What is installed is what was tried, byte for byte."""
    text = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    entries = re.split(r"^(?=[\w.-]+==)", text, flags=re.MULTILINE)
    bare = [entry.split()[0] for entry in entries if entry.strip() and "--hash=sha256:" not in entry]
    assert bare == []


def test_constraints_hold_pins_and_hashes_only() -> None:
    """No option of an installer, and so no address, is among them."""
    text = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    kinds = re.compile(r"[\w.-]+==\S+( ; .+)? \\|    --hash=sha256:[0-9a-f]{64}( \\)?")
    assert [line for line in text.splitlines() if not kinds.fullmatch(line)] == []


@pytest.mark.parametrize("name", runtime_requirements())
def test_every_dependency_is_used(name: str) -> None:
    """What nothing imports is only one more thing to keep safe."""
    module = re.escape(IMPORTED_AS.get(name, name))
    used = rf"""^\s*(import|from) {module}\b"""
    used = rf"{used}|^from uvicorn\.protocols\.http\.{name}_impl import" if name in NAMED else used
    places = [place.group() for place in re.finditer(used, product(), re.MULTILINE)]
    assert places


def test_every_dependency_has_a_reason() -> None:
    """docs/decisions/0001 says what each one is for."""
    reasons = normal((ROOT / "docs/decisions/0001-dependencies.md").read_text(encoding="utf-8"))
    assert [item.name for item in requirements() if normal(item.name) not in reasons] == []
