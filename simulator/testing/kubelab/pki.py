"""Certificates of one lab, made by openssl: one authority, the API server, and the clients it knows by name.

They are good for two days, on loopback only, and lie in the lab's own folder. Kubeconfigs are written as
JSON, which is YAML, with everything in them.
"""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Final

from simulator.testing.certificates import make_authority, openssl, sign

ADMIN: Final = "admin"
CONTROLLERS: Final = "controllers"
SCHEDULER: Final = "scheduler"
CLIENTS: Final = {
    ADMIN: "/O=system:masters/CN=admin",
    CONTROLLERS: "/CN=system:kube-controller-manager",
    SCHEDULER: "/CN=system:kube-scheduler",
}
"""Client -> the subject that the API server's built-in roles are bound to."""


def make_certificates(folder: Path, *, url: str) -> None:
    """Write ca, apiserver and client certificates, the service-account key, and a kubeconfig for each client."""
    folder.mkdir(mode=0o700)
    make_authority(folder, "/CN=kubelab")
    sign(folder, "apiserver", "/CN=kube-apiserver", extension="subjectAltName=IP:127.0.0.1,IP:10.96.0.1")
    openssl(folder, "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", "sa.key")
    openssl(folder, "ec", "-in", "sa.key", "-pubout", "-out", "sa.pub")
    for name, subject in CLIENTS.items():
        sign(folder, name, subject, extension="extendedKeyUsage=clientAuth")
        user = {
            "client-certificate-data": _encoded(folder / f"{name}.crt"),
            "client-key-data": _encoded(folder / f"{name}.key"),
        }
        write_kubeconfig(folder / f"{name}.kubeconfig", url=url, authority=_encoded(folder / "ca.crt"), user=user)


def write_kubeconfig(file: Path, *, url: str, authority: str, user: dict[str, str], namespace: str = "default") -> None:
    """One cluster, one user, one context. authority: the certificate, base64. user: as kubeconfig has it."""
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "lab", "cluster": {"server": url, "certificate-authority-data": authority}}],
        "users": [{"name": "user", "user": user}],
        "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": "user", "namespace": namespace}}],
        "current-context": "lab",
    }
    file.touch(mode=0o600)
    file.write_text(json.dumps(config))


def _encoded(file: Path) -> str:
    return base64.b64encode(file.read_bytes()).decode()
