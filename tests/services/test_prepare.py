"""Fetching and building once: complete or absent, one at a time, with the remedy in every error."""

from __future__ import annotations

import sys
import threading
from pathlib import Path

import pytest

from simulator.testing import cache, packages, programs
from simulator.testing.errors import ServiceError
from simulator.testing.process import CONTAINER_PREFIX
from simulator.testing.services import main


@pytest.fixture(autouse=True)
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test has a cache of its own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def silent(line: str) -> None:
    """Say nothing."""


def test_a_failed_download_leaves_nothing_that_looks_complete() -> None:
    """The next attempt starts afresh instead of using half of it."""

    def fail(draft: Path) -> None:
        (draft / "half").touch()
        raise ServiceError("the network is gone", where="here")

    with pytest.raises(ServiceError):
        cache.ensure("thing", "1", fail, say=silent)
    assert list(cache.root().glob("*thing-*")) == []
    made = cache.ensure("thing", "1", lambda draft: (draft / "whole").touch(), say=silent)
    assert [file.name for file in made.iterdir()] == ["whole"]


def test_what_a_killed_attempt_left_is_removed() -> None:
    """Half a build is 4 GB that nobody would find."""
    (cache.root() / ".thing-abc").mkdir()
    cache.ensure("thing", "1", lambda draft: (draft / "whole").touch(), say=silent)
    assert list(cache.root().glob(".thing-*")) == []


def test_two_at_once_make_it_once() -> None:
    """Two runs of `make services` at the same time are harmless."""
    makes: list[Path] = []
    both = threading.Barrier(2)

    def work() -> None:
        both.wait()
        cache.ensure("thing", "1", makes.append, say=silent)

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(makes) == 1


def test_another_version_lies_beside_and_the_oldest_goes() -> None:
    """Two checkouts must not rebuild each other's; disk is not used up either."""
    for key in ("1", "2", "3", "4", "5"):
        cache.ensure("thing", key, lambda draft: (draft / "version").write_text(""), say=silent)
    assert len(list(cache.root().glob("thing-*"))) == cache.KEPT
    assert cache.folder_of("thing", "5").exists()


def test_a_step_that_fails_shows_the_end_of_its_output(tmp_path: Path) -> None:
    """The reason is in the error, not only in a log that somebody must find."""
    argv = [sys.executable, "-c", "print('no space left'); raise SystemExit(3)"]
    with pytest.raises(ServiceError, match=r"(?s)failed:\nno space left; free some"):
        cache.step(argv, cwd=tmp_path, log=tmp_path / "log", remedy="free some")


def test_a_missing_program_is_named_with_its_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Never a skip."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(programs, "SYSTEM_FOLDERS", ())
    monkeypatch.setenv("GUARDIAN_TEST_CONTAINERS", "never")
    programs.engine_answers.cache_clear()
    with pytest.raises(ServiceError, match=r"haproxy is not installed .* run `make services`"):
        programs.command(programs.HAPROXY, folder=tmp_path)
    programs.engine_answers.cache_clear()


def test_a_program_named_by_the_environment_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another build of Prometheus is tried by naming it."""
    monkeypatch.setenv("GUARDIAN_TEST_PROMETHEUS_BINARY", sys.executable)
    assert programs.installed(programs.PROMETHEUS) == sys.executable
    monkeypatch.setenv("GUARDIAN_TEST_PROMETHEUS_BINARY", "/nowhere/prometheus")
    with pytest.raises(ServiceError, match="GUARDIAN_TEST_PROMETHEUS_BINARY: /nowhere/prometheus is not a program"):
        programs.installed(programs.PROMETHEUS)


def test_a_system_without_apt_is_told_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On other systems the package manager is the user's."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ServiceError, match="missing: haproxy; this system has no apt-get; install these programs"):
        packages.install_missing([("haproxy", lambda: False)], silent)


def test_nothing_is_installed_when_nothing_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second `make services` needs no root and no network."""
    monkeypatch.setenv("PATH", str(tmp_path))
    packages.install_missing([("haproxy", lambda: True)], silent)


def test_an_unknown_service_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 2, and the names that are allowed."""
    with pytest.raises(SystemExit) as caught:
        main(["prepare", "--only", "kafka,zookeeper"])
    assert caught.value.code == 2
    assert "unknown: zookeeper; allowed: haproxy, prometheus, kafka, kubernetes" in capsys.readouterr().err


def test_status_says_what_is_missing(capsys: pytest.CaptureFixture[str]) -> None:
    """With an empty cache nothing was built."""
    assert main(["status", "--only", "kubernetes"]) == 1
    assert capsys.readouterr().out == "kubernetes: missing: run `make services`\n"


def test_what_the_fixtures_need_is_in_the_package() -> None:
    """An installed wheel can prepare the services too."""
    root = Path(cache.__file__).parent
    wanted = ["kafka/pom.xml", "kafka/broker.properties", "kubelab/go.mod", "kubelab/go.sum", "kubelab/main.go"]
    assert all((root / name).is_file() for name in wanted)


def test_a_container_gets_the_same_command_line_and_can_be_ended_by_its_folder(tmp_path: Path) -> None:
    """Host network and equal paths: configuration files need not know where the program runs."""
    argv = programs.container(programs.HAPROXY, folder=tmp_path)
    assert argv[:2] == CONTAINER_PREFIX
    assert argv[argv.index("--network") + 1] == "host"
    assert argv[argv.index("--volume") + 1] == f"{tmp_path}:{tmp_path}"
    assert argv[-2:] == ["haproxy", "haproxy:2.6"]
    assert argv[argv.index("--name") + 1] == programs.container_name(tmp_path)
