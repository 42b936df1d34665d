"""Certificates, addresses, tokens, pairing."""

from __future__ import annotations

import re
import ssl
import stat
from pathlib import Path

import pytest

pytest.importorskip("starlette")

from radsnap.errors import UsageError
from radsnap.serving import address, certificate, pairing, tokens


def test_a_certificate_is_kept_as_long_as_it_names_every_host(tmp_path: Path) -> None:
    first = certificate.certificate(tmp_path, ["192.168.1.7", "clinic.local"])
    assert certificate.certificate(tmp_path, ["clinic.local"]) == first
    assert stat.S_IMODE(first.key.stat().st_mode) == 0o600
    second = certificate.certificate(tmp_path, ["192.168.1.8"])
    assert second.fingerprint != first.fingerprint
    assert re.fullmatch("([0-9A-F]{2}:){31}[0-9A-F]{2}", second.fingerprint)
    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(second.cert, second.key)


def test_a_certificate_near_its_end_is_renewed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = certificate.certificate(tmp_path, ["a.local"])
    monkeypatch.setattr(certificate, "_RENEW_BEFORE", certificate._LIFE)
    assert certificate.certificate(tmp_path, ["a.local"]).fingerprint != first.fingerprint


def test_own_certificate_files_must_be_a_pair(tmp_path: Path) -> None:
    one = certificate.certificate(tmp_path / "one", [])
    two = certificate.certificate(tmp_path / "two", [])
    assert certificate.own_certificate(one.cert, one.key) == one
    with pytest.raises(UsageError, match="does not belong to the certificate"):
        certificate.own_certificate(one.cert, two.key)
    with pytest.raises(UsageError, match="not a certificate and its plain key in PEM"):
        certificate.own_certificate(one.key, one.key)
    with pytest.raises(UsageError, match="cannot be read"):
        certificate.own_certificate(tmp_path / "none.pem", one.key)


@pytest.mark.parametrize(
    ("host", "alone"),
    [("127.0.0.1", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("192.168.0.2", False)],
)
def test_loopback_is_this_machine_only(host: str, alone: bool) -> None:
    assert address.is_loopback(host) is alone


def test_addresses_of_the_network_are_no_loopback_and_links_can_be_read_back() -> None:
    cv2, np = pytest.importorskip("cv2"), pytest.importorskip("numpy")
    assert not any(address.is_loopback(host) for host in address.lan_addresses())
    page = address.url("192.168.1.7", 8443, secure=True, path="/pair?code=ABCD")
    assert page == "https://192.168.1.7:8443/pair?code=ABCD"
    assert address.url("::1", 80) == "http://[::1]/"
    drawn = address.link(page, scale=1)
    assert drawn.startswith('<svg xmlns="http://www.w3.org/2000/svg"')
    assert "<script" not in drawn
    rows = address.qr_in_terminal(page).splitlines()
    # half blocks: each character is two pixels, one above the other
    halves = {" ": (1, 1), "▀": (0, 1), "▄": (1, 0), "█": (0, 0)}
    lines = [[halves[letter] for letter in re.sub("\x1b\\[[0-9;]*m", "", row)] for row in rows]
    dark = np.array([[pair[half] for pair in line] for line in lines for half in (0, 1)], dtype=np.uint8)
    for picture in (dark, 1 - dark):
        large = np.kron(np.pad(picture, 8, constant_values=1) * 255, np.ones((8, 8), np.uint8))
        if cv2.QRCodeDetectorAruco().detectAndDecode(large)[0] == page:
            return
    pytest.fail("no reader reads the terminal's code")


def test_codes_are_kept_as_hashes_that_match_what_people_type() -> None:
    code = tokens.new_code()
    kept = tokens.hash_code(code)
    assert code not in kept
    assert tokens.hash_code(code) != kept
    assert tokens.matches(f" {code.lower().replace('-', ' ')} ", kept)
    assert not tokens.matches(tokens.new_code(), kept)
    for broken in ("", "scrypt$zz$00", "scrypt$00", "plain$00$00"):
        assert not tokens.matches(code, broken)


def test_a_signature_serves_one_purpose_and_one_secret() -> None:
    signer, other = tokens.Signer(b"a" * 32), tokens.Signer(b"b" * 32)
    signed = signer.sign("id-7", "session")
    assert signer.unsign(signed, "session") == "id-7"
    for forged in (signed[:-1] + "0", "id-8" + signed[4:], "id-7", "", "id-7.", "id-7.é"):
        if forged != signed:
            assert signer.unsign(forged, "session") is None
    assert signer.unsign(signed, "csrf") is None
    assert other.unsign(signed, "session") is None
    assert signer.csrf_matches("id-7", signer.csrf("id-7"))
    assert not signer.csrf_matches("id-7", signer.csrf("id-8"))
    assert not signer.csrf_matches("id-7", None)


def test_a_secret_is_made_once_for_its_owner_only(tmp_path: Path) -> None:
    first = tokens.kept_secret(tmp_path / "deep" / "secret")
    assert tokens.kept_secret(tmp_path / "deep" / "secret") == first
    assert len(first) == 32
    assert stat.S_IMODE((tmp_path / "deep" / "secret").stat().st_mode) == 0o600
    (tmp_path / "short").write_bytes(b"abc")
    with pytest.raises(UsageError, match="holds 3 bytes, not 32"):
        tokens.kept_secret(tmp_path / "short")


def test_a_pairing_code_works_once_and_ends() -> None:
    now = [1000.0]
    door = pairing.Pairing(lifetime_s=60, clock=lambda: now[0], tries_a_minute=600)
    code = door.new_code()
    token = door.redeem(code.lower(), " Ana's phone ")
    assert token is not None
    assert door.redeem(code) is None
    device = door.device(token)
    assert device is not None
    assert device.name == "Ana's phone"
    assert token not in str(door.devices)
    late = door.new_code()
    now[0] += 61
    assert door.redeem(late) is None
    assert door.device(None) is None
    assert door.device("guess") is None
    door.forget(device)
    assert door.device(token) is None


def test_codes_cannot_be_tried_often() -> None:
    door = pairing.Pairing()
    code = door.new_code()
    for _ in range(5):
        assert door.redeem("WRONG", address="10.0.0.1") is None
    with pytest.raises(pairing.TooManyTries) as told:
        door.redeem(code, address="10.0.0.1")
    assert 0 < told.value.retry_after_s <= 10
    assert door.redeem(code, address="10.0.0.2") is not None
    for at in range(43):  # a crowd, each within its own bound
        door.redeem("WRONG", address=f"10.0.1.{at}")
    with pytest.raises(pairing.TooManyTries):
        [door.redeem("WRONG", address=f"10.0.2.{at}") for at in range(5)]
