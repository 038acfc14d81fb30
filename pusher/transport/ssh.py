"""Signs in at one SSH host after the other, and at none that is not known."""

from __future__ import annotations

import base64
import binascii
import logging
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import paramiko

from pusher.config import Secret
from pusher.errors import AccessRefused, CentralUnreachable, ConfigError, PusherError
from pusher.transport.hostkeys import HostKey, KnownHosts
from pusher.transport.route import Hop, Lookup

# Whatever paramiko logs of a failure is in the error that we raise.
logging.getLogger("paramiko").addHandler(logging.NullHandler())

_CONNECT_SECONDS = 15
_START_SECONDS = 30
_END_SECONDS = 5
_RSA = ("rsa-sha2-512", "rsa-sha2-256")  # how to ask for the key that known_hosts calls ssh-rsa
_KEY_FORMS = (paramiko.Ed25519Key, paramiko.ECDSAKey, paramiko.RSAKey)

Note = Callable[[str], None]


@contextmanager
def signed_in(
    hops: Sequence[Hop], known_hosts: KnownHosts, *, accept_host_keys: bool, note: Note
) -> Iterator[paramiko.Transport]:
    """The session with the last of `hops`, reached through the others. `note` is told of each host's key.

    Raises AccessRefused if a host is not trusted or does not let us in, CentralUnreachable, ConfigError.
    """
    with ExitStack() as stack:
        reached: tuple[paramiko.Transport, Hop] | None = None
        for hop in hops:
            connection = open_channel(*reached, (hop.host, hop.port)) if reached else _connect(hop)
            stack.callback(hang_up, connection)
            transport = paramiko.Transport(connection)
            stack.callback(_end, transport)
            with _talking_to(hop):
                _start(transport, known_hosts.kinds(hop.host, hop.port))
                key = transport.get_remote_server_key()
            shown = HostKey(key.get_name(), key.asbytes())
            note(known_hosts.verify(hop.host, hop.port, shown, accept=accept_host_keys))
            with _talking_to(hop):
                _sign_in(transport, hop)
            reached = transport, hop
        assert reached, "a route has at least one hop"
        yield reached[0]


def ssh_config(folder: Path) -> Lookup:
    """What the file `config` in `folder` says of a host; nothing if there is none. Raises ConfigError."""
    path = folder / "config"

    def lookup(alias: str) -> dict[str, Any]:
        try:
            return dict(paramiko.SSHConfig.from_path(str(path)).lookup(alias)) if path.exists() else {}
        except OSError as error:
            raise ConfigError([f"cannot read {path}: {error.strerror}"]) from error
        except (paramiko.SSHException, ValueError, KeyError) as error:
            raise ConfigError([f"{path}: {error}"]) from error

    return lookup


def open_channel(transport: paramiko.Transport, hop: Hop, address: tuple[str, int]) -> paramiko.Channel:
    """A connection from `hop`, where `transport` is signed in, to `address`.

    Raises AccessRefused, CentralUnreachable.
    """
    target = f"{address[0]}:{address[1]}"
    try:
        return transport.open_channel("direct-tcpip", address, ("127.0.0.1", 0), timeout=_CONNECT_SECONDS)
    except paramiko.ChannelException as error:
        if error.code == 1:  # "administratively prohibited"
            raise AccessRefused(f"{hop} does not forward to {target}; see its AllowTcpForwarding") from error
        raise CentralUnreachable(f"{hop} cannot reach {target}: {error.text}; is central up there?") from error
    except (paramiko.SSHException, OSError, EOFError) as error:
        raise CentralUnreachable(f"{hop} is lost: {_reason(error)}") from error


# --- connections ---


def _connect(hop: Hop) -> socket.socket:
    with _talking_to(hop):
        connection = socket.create_connection((hop.host, hop.port), timeout=_CONNECT_SECONDS)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def _start(transport: paramiko.Transport, known: Sequence[str]) -> None:
    """Agrees on keys, asking first for the kinds of host key that are known: a host has several, and shows one."""
    options = transport.get_security_options()
    wanted = [name for kind in known for name in (_RSA if kind == "ssh-rsa" else (kind,))]
    possible = list(options.key_types)
    options.key_types = sorted(possible, key=lambda name: wanted.index(name) if name in wanted else len(wanted))
    options.ciphers = sorted(options.ciphers, key=lambda name: "gcm" not in name)  # one pass, where others take two
    transport.start_client(timeout=_START_SECONDS)


def hang_up(connection: socket.socket | paramiko.Channel | paramiko.Transport) -> None:
    """Closes it; paramiko says farewell to the other end, and fails if there is nobody any more."""
    with suppress(paramiko.SSHException, OSError, EOFError):
        connection.close()


def _end(transport: paramiko.Transport) -> None:
    hang_up(transport)
    transport.packetizer.complete_handshake()  # else its timer runs on if there was none
    if transport.ident is not None:
        transport.join(_END_SECONDS)


@contextmanager
def _talking_to(hop: Hop) -> Iterator[None]:
    try:
        yield
    except (paramiko.SSHException, OSError, EOFError) as error:
        raise CentralUnreachable(f"{hop} cannot be reached: {_reason(error)}; are url and sshport right?") from error


def _reason(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, EOFError):
        return "it closed the connection"
    return str(getattr(error, "strerror", None) or error) or type(error).__name__


# --- signing in ---


def _sign_in(transport: paramiko.Transport, hop: Hop) -> None:
    """Shows the keys and then the password, also one after the other where the host wants both."""
    tried = []
    with closing(_agent()) as agent:
        for name, key in _keys(hop, agent.get_keys()):
            tried.append(name)
            if _let_in(transport, hop, partial(transport.auth_publickey, hop.user, key)):
                return
    if hop.password:
        tried.append("the password")
        if _let_in(transport, hop, partial(transport.auth_password, hop.user, hop.password.reveal())):
            return
    if not tried:
        raise AccessRefused(f"no key to show to {hop}; name one as sshkey, or give sshpassword")
    raise AccessRefused(
        f"{hop} does not let user {hop.user} in with {', '.join(tried)}; is that the right user, and is the public key "
        "in their authorized_keys?"
    )


def _let_in(transport: paramiko.Transport, hop: Hop, show: Callable[[], object]) -> bool:
    try:
        show()
    except paramiko.AuthenticationException as error:
        if not transport.is_active():
            raise CentralUnreachable(f"{hop} hung up while user {hop.user} was signing in") from error
    return transport.is_authenticated()


def _agent() -> paramiko.Agent:
    try:
        return paramiko.Agent()
    except (paramiko.SSHException, OSError) as error:
        raise AccessRefused(f"the SSH agent at $SSH_AUTH_SOCK does not answer: {_reason(error)}") from error


def _keys(hop: Hop, of_agent: Sequence[paramiko.AgentKey]) -> Iterator[tuple[str, paramiko.PKey]]:
    """The keys to show, each with the name that an operator knows it by."""
    for path in hop.keys:
        key: paramiko.PKey | None = _of_agent(path, of_agent)
        try:
            key = key or _load(path, hop.passphrase)
        except PusherError:
            if hop.only_keys:
                raise
            continue  # another may do, and if none does, all that were tried are named
        yield str(path), key
    if not hop.only_keys:
        for agent_key in of_agent:
            yield f"the agent's {agent_key.comment or agent_key.get_name()}", agent_key


def _load(path: Path, passphrase: Secret | None) -> paramiko.PKey:
    """Raises ConfigError if there is no such file, AccessRefused if there is no way to the key in it."""
    for form in _KEY_FORMS:
        try:
            return form.from_private_key_file(str(path), passphrase.reveal() if passphrase else None)
        except paramiko.PasswordRequiredException as error:
            raise AccessRefused(
                f"{path} is encrypted; give its passphrase as sshpassword, or have an SSH agent hold the key"
            ) from error
        except OSError as error:
            raise ConfigError([f"cannot read {path}: {error.strerror}; correct sshkey or sshfolder"]) from error
        except (paramiko.SSHException, ValueError):
            continue  # a key of another form
    given = ", or sshpassword is not its passphrase" if passphrase else ""
    raise AccessRefused(f"{path} is no private key (Ed25519, ECDSA or RSA) that can be read{given}")


def _of_agent(path: Path, of_agent: Sequence[paramiko.AgentKey]) -> paramiko.AgentKey | None:
    """The agent's key whose public half lies beside the private key `path`."""
    try:
        blob = base64.b64decode(path.with_name(path.name + ".pub").read_text().split()[1])
    except (OSError, UnicodeError, IndexError, binascii.Error):
        return None
    return next((key for key in of_agent if key.asbytes() == blob), None)
