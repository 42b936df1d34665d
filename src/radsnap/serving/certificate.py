"""A certificate for a trial in the local network: a browser gives its camera to secure pages only."""

from __future__ import annotations

import datetime as dt
import ipaddress
import os
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from radsnap.errors import UsageError

# Phones refuse server certificates that live longer than 398 days.
_LIFE = dt.timedelta(days=397)
_RENEW_BEFORE = dt.timedelta(days=14)


@dataclass(frozen=True)
class Certificate:
    """Files in PEM, and the SHA-256 that a person may compare with what the browser shows."""

    cert: Path
    key: Path
    fingerprint: str


def certificate(folder: str | Path, hosts: Iterable[str]) -> Certificate:
    """Give the folder's self-signed certificate for these names and addresses; make or renew it where needed.

    It is kept as long as it names every host and lives for two weeks more, so that a phone asks only once.
    Raises UsageError when the folder cannot be written.
    """
    place, wanted = Path(folder), tuple(dict.fromkeys([*hosts, "localhost", "127.0.0.1", "::1"]))
    cert, key = place / "certificate.pem", place / "key.pem"
    if not _serves(cert, key, wanted):
        try:
            place.mkdir(parents=True, exist_ok=True, mode=0o700)
            _make(cert, key, wanted)
        except OSError as error:
            raise UsageError(
                f"no certificate can be kept in {place} ({error.strerror}); name another folder"
            ) from error
    return own_certificate(cert, key)


def own_certificate(cert: str | Path, key: str | Path) -> Certificate:
    """Take certificate files in PEM. Raises UsageError when they are unreadable or do not belong together."""
    try:
        leaf = x509.load_pem_x509_certificate(Path(cert).read_bytes())
        private = serialization.load_pem_private_key(Path(key).read_bytes(), password=None)
    except OSError as error:
        raise UsageError(
            f"{error.filename} cannot be read ({error.strerror}); check --cert and --key"
        ) from error
    except (ValueError, TypeError) as error:
        raise UsageError(
            f"{cert} and {key} are not a certificate and its plain key in PEM; export them so"
        ) from error
    if _spki(leaf.public_key()) != _spki(cast("CertificatePublicKeyTypes", private.public_key())):
        raise UsageError(f"the key {key} does not belong to the certificate {cert}; name the pair")
    return Certificate(Path(cert), Path(key), _spelled(leaf.fingerprint(hashes.SHA256())))


def _serves(cert: Path, key: Path, hosts: tuple[str, ...]) -> bool:
    try:
        own_certificate(cert, key)
    except UsageError:
        return False
    leaf = x509.load_pem_x509_certificate(cert.read_bytes())
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    lives = leaf.not_valid_after_utc - dt.datetime.now(dt.UTC) > _RENEW_BEFORE
    return lives and all(_name(host) in list(names) for host in hosts)


def _make(cert: Path, key: Path, hosts: tuple[str, ...]) -> None:
    private = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "radsnap in the local network")])
    now = dt.datetime.now(dt.UTC)
    built = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))  # clocks of phones run behind
        .not_valid_after(now - dt.timedelta(days=1) + _LIFE)
        .add_extension(x509.SubjectAlternativeName([_name(host) for host in hosts]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(private, hashes.SHA256())
    )
    pem = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    _write(key, pem, 0o600)
    _write(cert, built.public_bytes(serialization.Encoding.PEM), 0o644)


def _write(path: Path, data: bytes, mode: int) -> None:
    partial = path.with_name(f".{uuid.uuid4().hex}.part")
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(data)
    partial.replace(path)


def _name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _spki(public: CertificatePublicKeyTypes) -> bytes:
    return public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def _spelled(digest: bytes) -> str:
    return ":".join(f"{byte:02X}" for byte in digest)
