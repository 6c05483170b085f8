"""The pytest plugin as another project's tests see it: failures that explain themselves, never a skip."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from simulator.testing.run import RUN_VARIABLE

pytestmark = pytest.mark.timeout(600)


def run_pytest(folder: Path, test: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run one test file in a folder of its own, with a run of services of its own."""
    (folder / "test_other.py").write_text(test)
    env = {name: value for name, value in os.environ.items() if name != RUN_VARIABLE and "PYTEST" not in name}
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "simulator.testing.plugin", "-p", "no:cacheprovider", "."],
        cwd=folder,
        env=env | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=500,
    )


def test_a_failure_shows_its_services_logs_and_keeps_them(tmp_path: Path) -> None:
    """What a service printed is usually the reason."""
    done = run_pytest(
        tmp_path,
        """
def test_it(http_app):
    pod = http_app(pod="talker")
    with pod.server.log.open("a") as log:
        log.write("the disk is full")
    assert False
""",
    )
    assert done.returncode == 1
    assert "log of pod-talker" in done.stdout
    assert "the disk is full" in done.stdout
    [line] = [line for line in done.stdout.splitlines() if line.startswith("logs of the services: ")]
    kept = Path(line.removeprefix("logs of the services: "))
    assert [file.name for file in kept.rglob("pod-*.log")] == ["pod-talker.log"]
    shutil.rmtree(kept)


def test_a_daemon_of_the_tests_own_is_ended_and_its_log_is_shown(tmp_path: Path) -> None:
    """The guardian under test is a server like the others."""
    done = run_pytest(
        tmp_path,
        """
import sys
from simulator.testing.process import Server

def test_it(service_run, started):
    argv = [sys.executable, "-c", "import time; print('no such policy', flush=True); time.sleep(600)"]
    daemon = Server("daemon", argv, folder=service_run.workdir("daemon"), run=service_run)
    started.enter(daemon.start()).wait_ready(lambda: "policy" in daemon.log_tail())
    assert False
""",
    )
    assert done.returncode == 1
    assert "log of daemon" in done.stdout
    assert done.stdout.count("no such policy") >= 2, "in the source that is shown, and in the log"
    shutil.rmtree(done.stdout.partition("logs of the services: ")[2].splitlines()[0])


def test_a_service_that_was_not_prepared_is_an_error_with_its_remedy(tmp_path: Path) -> None:
    """A skipped test would look like a passed one."""
    done = run_pytest(
        tmp_path,
        "def test_it(kubernetes): ...\n",
        XDG_CACHE_HOME=str(tmp_path / "empty"),
        GUARDIAN_TEST_CONTAINERS="never",
        GUARDIAN_TEST_KUBECONFIG="",
    )
    assert done.returncode == 1
    assert "1 error" in done.stdout
    assert "the Kubernetes control plane was not built on this machine; run `make services`" in done.stdout


def test_tests_are_marked_by_the_fixtures_they_use(tmp_path: Path) -> None:
    """`-m 'not service'` must not start what is not there."""
    done = run_pytest(
        tmp_path,
        """
def test_proxy(request, haproxy):
    assert request.node.get_closest_marker("service") is not None

def test_pod(request, http_app):
    assert request.node.get_closest_marker("service") is None
""",
        GUARDIAN_TEST_HAPROXY_BINARY=sys.executable,
    )
    assert done.returncode == 0, done.stdout


def test_tests_of_one_group_run_on_one_worker(tmp_path: Path) -> None:
    """A lab of one's own, or a story that a module's tests share, is there once; pytest 9.2 undoes it."""
    done = run_pytest(
        tmp_path,
        """
import os
import pytest

@pytest.mark.xdist_group("one")
@pytest.mark.parametrize("number", range(12))
def test_grouped(number):
    print(f"worker {os.environ['PYTEST_XDIST_WORKER']}")
""",
        PYTEST_ADDOPTS="-n 2 --dist loadgroup -rP",
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith("worker ")]
    assert len(lines) == 12, done.stdout + done.stderr
    assert len(set(lines)) == 1
