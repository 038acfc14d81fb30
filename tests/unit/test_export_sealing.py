"""Sealed fields open with their own key, and with no other."""

from __future__ import annotations

import base64
import hashlib
import secrets
from collections.abc import Callable
from functools import cache

import nacl.public
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from pusher.errors import ConfigError
from pusher.export.sealing import CannotOpen, opener_for

_TEXTS = ["often", "", "x", "zwei\nZeilen\r\n\ttab", "Grüße, 日本語 🙂", "a\x00b", "\u2028", "7", "a" * 117]
_TRIALS = 200


@cache
def _key(number: int = 0, bits: int = 1024) -> rsa.RSAPrivateKey:
    """Short ones: quick to make, and worked with in the same way."""
    return rsa.generate_private_key(public_exponent=65537, key_size=bits)


def _pem(
    key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey,
    form: PrivateFormat = PrivateFormat.TraditionalOpenSSL,
    passphrase: bytes | None = None,
) -> str:
    protection = BestAvailableEncryption(passphrase) if passphrase else NoEncryption()
    return key.private_bytes(Encoding.PEM, form, protection).decode()


def _sealed(text: str, key: rsa.RSAPrivateKey) -> str:
    """As the web server does it: what is too long for one block goes into several."""
    content, room = text.encode(), key.key_size // 8 - 11
    blocks = [content[at : at + room] for at in range(0, len(content), room)] or [b""]
    return base64.b64encode(b"".join(key.public_key().encrypt(each, padding.PKCS1v15()) for each in blocks)).decode()


def _raw(padded: bytes, key: rsa.RSAPrivateKey) -> str:
    """A block with whatever padding: what its own key opens it to is `padded`."""
    numbers = key.public_key().public_numbers()
    size = key.key_size // 8
    return base64.b64encode(pow(int.from_bytes(padded, "big"), numbers.e, numbers.n).to_bytes(size, "big")).decode()


def _box(text: bytes, key: nacl.public.PrivateKey) -> str:
    return "box:" + base64.b64encode(nacl.public.SealedBox(key.public_key).encrypt(text)).decode()


def _box_pem(key: nacl.public.PrivateKey) -> str:
    return "pusher-private-key:" + base64.b64encode(bytes(key)).decode()


# --- the older form -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", _TEXTS)
def test_rsa_opens_what_was_sealed(text: str) -> None:
    assert opener_for(_pem(_key())).open(_sealed(text, _key())) == text


@pytest.mark.parametrize("bits", [1024, 1031, 2048])
def test_a_long_text_is_several_blocks(bits: int) -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=bits)
    text = "日本語 🙂 " * 100  # the blocks end within letters
    size = (bits + 7) // 8
    content = text.encode()
    blocks = [content[at : at + size - 11] for at in range(0, len(content), size - 11)]
    sealed = b"".join(key.public_key().encrypt(each, padding.PKCS1v15()) for each in blocks)
    assert len(sealed) > 5 * size
    assert opener_for(_pem(key)).open(base64.b64encode(sealed).decode()) == text


def test_pkcs8_is_the_same_key() -> None:
    old, new = opener_for(_pem(_key())), opener_for(_pem(_key(), PrivateFormat.PKCS8))
    assert new.open(_sealed("often", _key())) == "often"
    assert (old.fingerprint, old.public, old.kind) == (new.fingerprint, new.public, "RSA, 1024 bits")
    assert old.public == _public(_key())


def _public(key: rsa.RSAPrivateKey) -> str:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode().strip()


@pytest.mark.parametrize("broken", ["\n", "\r\n", " ", "\t\n "])
def test_lines_may_be_broken(broken: str) -> None:
    sealed = _sealed("often", _key())
    lines = broken.join(sealed[at : at + 64] for at in range(0, len(sealed), 64)) + broken
    assert opener_for(_pem(_key())).open(lines) == "often"


def test_a_wrong_key_never_passes() -> None:
    """OpenSSL itself gives random bytes for it, and no error."""
    opener, theirs = opener_for(_pem(_key())), _key(1)
    reasons = set()
    for place in range(_TRIALS):
        with pytest.raises(CannotOpen) as caught:
            opener.open(_sealed(_TEXTS[place % len(_TEXTS)], theirs))
        reasons.add(str(caught.value))
    assert all(reason.endswith("another key has sealed it, or it is damaged") for reason in reasons)


@pytest.mark.parametrize("flipped", [0, 1, 64, 127])
def test_a_damaged_block_never_passes(flipped: int) -> None:
    sealed = bytearray(base64.b64decode(_sealed("often", _key())))
    sealed[flipped] ^= 1
    with pytest.raises(CannotOpen, match="another key has sealed it, or it is damaged"):
        opener_for(_pem(_key())).open(base64.b64encode(sealed).decode())


def test_one_damaged_block_among_several_leaves_no_hole() -> None:
    sealed = bytearray(base64.b64decode(_sealed("a" * 300, _key())))
    assert len(sealed) == 3 * 128
    sealed[200] ^= 1
    with pytest.raises(CannotOpen, match="damaged"):
        opener_for(_pem(_key())).open(base64.b64encode(sealed).decode())


@pytest.mark.parametrize(
    "padded",
    [
        b"\x00\x02" + b"\x01" * 7 + b"\x00" + b"often" * 20,  # seven bytes are too few
        b"\x00\x01" + b"\xff" * 100 + b"\x00" + b"often",  # that of a signature
        b"\x00\x02" + b"\x01" * 126,  # it has no end
        b"\x00\x03" + b"\x01" * 100 + b"\x00" + b"often",
        b"\x00" * 128,
    ],
)
def test_every_byte_of_the_padding_counts(padded: bytes) -> None:
    with pytest.raises(CannotOpen, match="another key has sealed it"):
        opener_for(_pem(_key())).open(_raw(padded.ljust(128, b"o"), _key()))


def test_the_least_padding_will_do() -> None:
    padded = b"\x00\x02" + b"\x01" * 8 + b"\x00" + b"o" * 117
    assert opener_for(_pem(_key())).open(_raw(padded, _key())) == "o" * 117


def test_what_is_no_text_does_not_pass() -> None:
    padded = b"\x00\x02" + b"\x01" * 100 + b"\x00" + b"\xff\xfe" * 12 + b"\xff"
    with pytest.raises(CannotOpen, match="no UTF-8 text"):
        opener_for(_pem(_key())).open(_raw(padded, _key()))


def test_a_number_beyond_the_key_does_not_pass() -> None:
    with pytest.raises(CannotOpen, match="another key has sealed it"):
        opener_for(_pem(_key())).open(base64.b64encode(b"\xff" * 128).decode())


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda _: "often, I think", "not sealed, or damaged: it is no base64"),
        (lambda sealed: sealed[:-3] + "*==", "no base64"),
        (lambda sealed: sealed[:-1], "no base64"),
        (lambda sealed: sealed[:-4], "it is cut off"),
        (lambda sealed: sealed + sealed[:4], "no base64|cut off"),
        (lambda _: "often===", "no base64"),
        (lambda _: "oftn", "3 bytes, no multiple of the key's 128"),
        (lambda _: "Grüße", "no base64"),
        (lambda _: "", "it is empty"),
        (lambda _: " \n", "it is empty"),
        (lambda _: "A" * (1 << 18) + "A", "262,145 letters, more than 262,144"),
        (lambda _: "box:" + "A" * 64, "it is a sealed box, and the key is of RSA"),
    ],
)
def test_what_is_not_sealed_or_cut_off_is_told(change: Callable[[str], str], said: str) -> None:
    with pytest.raises(CannotOpen, match=said) as caught:
        opener_for(_pem(_key())).open(change(_sealed("often", _key())))
    assert "often" not in str(caught.value)


def test_a_key_of_another_length_is_told() -> None:
    with pytest.raises(CannotOpen, match="another key has sealed it"):
        opener_for(_pem(_key(bits=2048))).open(_sealed("often", _key()))


# --- the newer form -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", [*_TEXTS, "日本語 🙂 " * 100])
def test_a_box_opens(text: str) -> None:
    key = nacl.public.PrivateKey.generate()
    assert opener_for(_box_pem(key)).open(_box(text.encode(), key)) == text


def test_a_box_of_another_never_opens() -> None:
    ours, theirs = nacl.public.PrivateKey.generate(), nacl.public.PrivateKey.generate()
    opener = opener_for(_box_pem(ours))
    for place in range(_TRIALS):
        with pytest.raises(CannotOpen, match="another key has sealed it"):
            opener.open(_box(_TEXTS[place % len(_TEXTS)].encode(), theirs))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda sealed: sealed.removeprefix("box:"), "does not begin with box:"),
        (lambda sealed: sealed[:-4], "another key has sealed it, or it is damaged"),
        (lambda sealed: "box:" + "A" * 40, "another key has sealed it"),
        (lambda sealed: sealed[:50] + "*" + sealed[51:], "no base64"),
        (lambda _: "box:", "it is empty"),
        (lambda _: "box:" + "A" * (1 << 18) + "A", "262,145 letters"),
    ],
)
def test_a_damaged_box_is_told(change: Callable[[str], str], said: str) -> None:
    key = nacl.public.PrivateKey.generate()
    with pytest.raises(CannotOpen, match=said):
        opener_for(_box_pem(key)).open(change(_box(b"often", key)))


def test_a_box_that_holds_no_text_is_told() -> None:
    key = nacl.public.PrivateKey.generate()
    with pytest.raises(CannotOpen, match="no UTF-8 text"):
        opener_for(_box_pem(key)).open(_box(b"\xff\xfe", key))


def test_lines_of_a_box_may_be_broken() -> None:
    key = nacl.public.PrivateKey.generate()
    sealed = _box(b"often", key)
    assert opener_for(_box_pem(key)).open(f"{sealed[:30]}\r\n{sealed[30:]}\n") == "often"


# --- the key --------------------------------------------------------------------------------------------------------


def test_each_key_has_a_fingerprint_of_its_own() -> None:
    texts = [_pem(_key()), _pem(_key(1)), *(_box_pem(nacl.public.PrivateKey.generate()) for _ in range(2))]
    fingerprints = {opener_for(text).fingerprint for text in texts}
    assert len(fingerprints) == 4
    assert all(each.startswith("SHA256:") and len(each) == 50 for each in fingerprints)


def test_the_fingerprint_is_that_of_the_public_key() -> None:
    """`openssl rsa -pubout -outform DER | openssl dgst -sha256 -binary | base64` gives the same."""
    der = _key().public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    expected = base64.b64encode(hashlib.sha256(der).digest()).decode().rstrip("=")
    assert opener_for(_pem(_key())).fingerprint == f"SHA256:{expected}"


def _refused() -> list[tuple[str, str]]:
    pem = _pem(_key())
    return [
        ("", "is no private key"),
        ("swordfish", "is no private key; name a PEM file"),
        (_public(_key()), "that is the public key"),
        (opener_for(_box_pem(nacl.public.PrivateKey.generate())).public, "that is the public key"),
        (pem[: len(pem) // 2], "the PEM cannot be read as a private key"),
        (pem.replace("BEGIN RSA", "BEGIN DSA"), "cannot be read as a private key"),
        (_pem(_key(), PrivateFormat.TraditionalOpenSSL, b"swordfish"), "it has a passphrase"),
        (_pem(_key(), PrivateFormat.PKCS8, b"swordfish"), "it has a passphrase, and nobody is there to ask"),
        (_pem(ec.generate_private_key(ec.SECP256R1())), "a private key of another kind; use one of RSA"),
        ("pusher-private-key:", "is damaged; copy the file again"),
        ("pusher-private-key:" + base64.b64encode(secrets.token_bytes(31)).decode(), "is damaged"),
        ("pusher-private-key:" + "*" * 44, "is damaged"),
        ("pusher-private-key:" + "ü" * 44, "is damaged"),
    ]


@pytest.mark.parametrize("place", range(13))
def test_what_is_no_key_is_told_without_showing_it(place: int) -> None:
    text, said = _refused()[place]
    with pytest.raises(ConfigError, match=said) as caught:
        opener_for(text)
    assert "swordfish" not in str(caught.value)
    assert not any(line in str(caught.value) for line in text.splitlines() if len(line) > 40)
    assert caught.value.__cause__ is None
