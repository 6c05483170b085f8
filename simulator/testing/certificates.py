"""Certificates of tests and labs, made by openssl: one authority in a folder, and what it signed. Good for two days."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Final

from simulator.testing.errors import ServiceError

_KEY: Final = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


def make_authority(folder: Path, subject: str) -> None:
    """Write ca.crt and ca.key into a folder."""
    usage = "keyUsage=critical,keyCertSign,cRLSign,digitalSignature"
    made = ["req", "-x509", *_KEY, "-days", "2", "-subj", subject, "-addext", usage]
    openssl(folder, *made, "-keyout", "ca.key", "-out", "ca.crt")


def sign(folder: Path, name: str, subject: str, *, extension: str) -> None:
    """Write NAME.crt and NAME.key, signed by the folder's authority."""
    (folder / f"{name}.ext").write_text(f"{extension}\nauthorityKeyIdentifier=keyid\n")
    openssl(folder, "req", *_KEY, "-subj", subject, "-keyout", f"{name}.key", "-out", f"{name}.csr")
    signed = ["x509", "-req", "-in", f"{name}.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial"]
    openssl(folder, *signed, "-days", "2", "-extfile", f"{name}.ext", "-out", f"{name}.crt")


def openssl(folder: Path, *arguments: str) -> None:
    """Run openssl in a folder. Raises ServiceError."""
    try:
        done = subprocess.run(
            ["openssl", *arguments], cwd=folder, capture_output=True, text=True, check=False, timeout=30
        )
    except FileNotFoundError as error:
        raise ServiceError("openssl is not installed", where="PATH", remedy="run `make services`") from error
    if done.returncode != 0:
        raise ServiceError(f"openssl {arguments[0]} failed: {done.stderr.strip()}", where=str(folder))
