"""Opens sealed fields with a private key, and knows whether it fits.

There are two forms. The older: base64 of RSA PKCS#1 v1.5, a long text as several blocks one behind the other. The
newer: `box:` and base64 of a sealed box (Curve25519, as libsodium's crypto_box_seal makes it).

A wrong key must not pass for a right one. A sealed box is authenticated. For RSA the padding is looked at here, byte by
byte: 00 02, eight or more bytes that are not 0, then 0; and what follows must be UTF-8. A block sealed with another key
passes all the same with a chance of 1 in 6 million (1024 bits; with 2048 it is 1 in 10 million): 1 in 32,768 for 00 02,
and what the first 0 leaves must be so short that it is text by accident. Each field is judged by itself, so that an
archive may hold fields of several keys.
"""

from __future__ import annotations

import base64
import binascii
from hashlib import sha256
from typing import TYPE_CHECKING, Protocol

from pusher.errors import ConfigError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from nacl.public import PrivateKey

PRIVATE, PUBLIC, BOX = "pusher-private-key:", "pusher-public-key:", "box:"
_BOX_KEY_BYTES = 32
_LONGEST = 1 << 18  # letters of a sealed field: a thousand blocks of RSA, which take some seconds
_START, _LEAST_PADDING = b"\x00\x02", 8
_MISFIT = "another key has sealed it, or it is damaged"


class CannotOpen(Exception):
    """Why a field stays sealed; never with anything of what it holds."""


class Opener(Protocol):
    """A private key. `kind`: in words; `public`: the public key as text; `fingerprint`: of that, as ssh shows them."""

    kind: str
    public: str
    fingerprint: str

    def open(self, text: str) -> str:
        """Raises CannotOpen."""
        ...


def opener_for(key_text: str) -> Opener:
    """`key_text`: a PEM of an RSA key (PKCS#1 or PKCS#8), or what `pusher key new` wrote. Raises ConfigError."""
    text = key_text.strip()
    if text.startswith(PRIVATE):
        return BoxOpener(_box_key(text.removeprefix(PRIVATE)))
    if text.startswith(PUBLIC) or "BEGIN PUBLIC KEY" in text or "BEGIN RSA PUBLIC KEY" in text:
        raise ConfigError(["key: that is the public key; name the file with the private one"])
    if not text.startswith("-----BEGIN "):
        raise ConfigError(["key: is no private key; name a PEM file, or one that `pusher key new` wrote"])
    return RsaOpener(_rsa_key(text))


class RsaOpener:
    """The older form."""

    def __init__(self, key: RSAPrivateKey) -> None:
        from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

        public = key.public_key()
        self.kind = f"RSA, {key.key_size} bits"
        self.public = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode().strip()
        self.fingerprint = _fingerprint(public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))
        self._size = (key.key_size + 7) // 8
        self._numbers = key.private_numbers()

    def open(self, text: str) -> str:
        if text.startswith(BOX):
            raise CannotOpen("it is a sealed box, and the key is of RSA")
        sealed = _decoded(text)
        if len(sealed) % self._size:
            raise CannotOpen(
                f"it has {len(sealed)} bytes, no multiple of the key's {self._size}: it is cut off, or not sealed, or "
                "another key has sealed it"
            )
        return _as_text(b"".join(self._block(sealed[at : at + self._size]) for at in range(0, len(sealed), self._size)))

    def _block(self, block: bytes) -> bytes:
        """By hand, since OpenSSL returns random bytes where the padding does not fit, and no error: it hides that from
        whoever might send block after block and watch. Here nobody can: a row is archived and deleted all the same."""
        key, sealed = self._numbers, int.from_bytes(block, "big")
        if sealed >= key.public_numbers.n:
            raise CannotOpen(_MISFIT)
        first, second = pow(sealed, key.dmp1, key.p), pow(sealed, key.dmq1, key.q)
        opened = second + (first - second) * key.iqmp % key.p * key.q
        padded = opened.to_bytes(self._size, "big")
        end = padded.find(b"\x00", len(_START))
        if not padded.startswith(_START) or end < len(_START) + _LEAST_PADDING:
            raise CannotOpen(_MISFIT)
        return padded[end + 1 :]


class BoxOpener:
    """The newer form."""

    def __init__(self, key: PrivateKey) -> None:
        from nacl.public import SealedBox

        raw = bytes(key.public_key)
        self.kind = "sealed box, Curve25519"
        self.public = PUBLIC + base64.b64encode(raw).decode()
        self.fingerprint = _fingerprint(raw)
        self._box = SealedBox(key)

    def open(self, text: str) -> str:
        from nacl.exceptions import CryptoError

        if not text.startswith(BOX):
            raise CannotOpen(f"it does not begin with {BOX}: it is not sealed, or for a key of RSA")
        try:
            opened: bytes = self._box.decrypt(_decoded(text.removeprefix(BOX)))
        except CryptoError:
            raise CannotOpen(_MISFIT) from None
        return _as_text(opened)


def _box_key(text: str) -> PrivateKey:
    private_key = _box_keys()
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    if len(raw) != _BOX_KEY_BYTES:
        raise ConfigError(["key: what follows pusher-private-key: is damaged; copy the file again, whole"])
    return private_key(raw)


def _box_keys() -> type[PrivateKey]:
    try:
        from nacl.public import PrivateKey
    except ImportError:
        raise ConfigError(["key needs the package PyNaCl, which is not installed; install pusher[export]"]) from None
    return PrivateKey


def _rsa_key(text: str) -> RSAPrivateKey:
    try:
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
        from cryptography.hazmat.primitives.serialization import load_pem_private_key
    except ImportError:
        raise ConfigError(
            ["key needs the package cryptography, which is not installed; install pusher[export]"]
        ) from None
    try:
        key = load_pem_private_key(text.encode(), password=None)
    except TypeError:
        raise ConfigError(
            ["key: it has a passphrase, and nobody is there to ask; take it off: openssl rsa -in OLD -out NEW"]
        ) from None
    except (ValueError, UnsupportedAlgorithm):  # `from None`: its words may show some of the key
        raise ConfigError(["key: the PEM cannot be read as a private key; copy the file again, whole"]) from None
    if not isinstance(key, RSAPrivateKey):
        raise ConfigError(["key: is a private key of another kind; use one of RSA, or of `pusher key new`"])
    return key


def new_box_key() -> tuple[str, BoxOpener]:
    """The private key as text, and what it opens."""
    key = _box_keys().generate()
    return PRIVATE + base64.b64encode(bytes(key)).decode(), BoxOpener(key)


def _decoded(text: str) -> bytes:
    """Lines may be broken anywhere: many programs do so after 64 or 76 letters."""
    if len(text) > _LONGEST:
        raise CannotOpen(f"it has {len(text):,} letters, more than {_LONGEST:,}")
    try:
        sealed = base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError):
        raise CannotOpen("it is not sealed, or damaged: it is no base64") from None
    if not sealed:
        raise CannotOpen("it is not sealed: it is empty")
    return sealed


def _as_text(opened: bytes) -> str:
    try:
        return opened.decode()
    except UnicodeDecodeError:
        raise CannotOpen(f"what is in it is no UTF-8 text: {_MISFIT}") from None


def _fingerprint(public: bytes) -> str:
    return f"SHA256:{base64.b64encode(sha256(public).digest()).decode().rstrip('=')}"
