"""Dovecot and Postfix from Debian as processes of one's own, on free ports, in a temporary folder.

Mail to anybody @example.test goes through Postfix into Dovecot by LMTP; who has no mailbox there comes back as a real
bounce. Both programs insist on being started by root.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tasklift.errors import TaskliftError

DOMAIN = "example.test"
PASSWORD = "mail"  # noqa: S105
_DOVECOT_PARTS = (Path("/usr/lib/dovecot"), Path("/usr/libexec/dovecot"))
_DOVECOT = """
base_dir = {folder}/run
state_dir = {folder}/state
log_path = {folder}/dovecot.log
protocols = imap lmtp
listen = 127.0.0.1
ssl = no
disable_plaintext_auth = no
auth_mechanisms = plain login{oauth_mechanisms}
mail_location = maildir:{folder}/mail/%u
recipient_delimiter = +
first_valid_uid = 1
mail_max_userip_connections = 50
{oauth_passdb}passdb {{
  driver = passwd-file
  args = scheme=plain username_format=%Lu {folder}/users
}}
userdb {{
  driver = passwd-file
  args = username_format=%Lu {folder}/users
}}
service imap-login {{
  inet_listener imap {{
    port = {imap}
  }}
  inet_listener imaps {{
    port = 0
  }}
}}
service auth {{
  inet_listener {{
    address = 127.0.0.1
    port = {sasl}
  }}
}}
service lmtp {{
  inet_listener lmtp {{
    address = 127.0.0.1
    port = {lmtp}
  }}
}}
namespace inbox {{
  inbox = yes
}}
"""
#: Tokens are looked up where they were made, RFC 7662.
_OAUTH_PASSDB = """passdb {{
  driver = oauth2
  mechanisms = xoauth2 oauthbearer
  args = {folder}/oauth.conf
}}
"""
_OAUTH = """introspection_mode = post
introspection_url = {url}
force_introspection = yes
active_attribute = active
active_value = true
username_attribute = username
"""
_MAIN = """
compatibility_level = 3.6
queue_directory = {folder}/spool
data_directory = {folder}/data
maillog_file = {folder}/postfix.log
maillog_file_prefixes = {folder}
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
myhostname = mx.example.test
mydestination =
mynetworks = 127.0.0.0/8
alias_maps =
alias_database =
virtual_mailbox_domains = example.test
virtual_transport = lmtp:inet:127.0.0.1:{lmtp}
lmtp_destination_recipient_limit = 1
smtpd_authorized_xforward_hosts =
smtpd_sasl_auth_enable = yes
smtpd_sasl_type = dovecot
smtpd_sasl_path = inet:127.0.0.1:{sasl}
message_size_limit = 60000000
mailbox_size_limit = 0
smtpd_client_connection_rate_limit = 0
queue_run_delay = 2s
minimal_backoff_time = 2s
"""
_MASTER = """
127.0.0.1:{smtp} inet n - n - - smtpd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
relay unix - - n - - smtp
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
lmtp unix - - n - - lmtp
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
"""


def missing_mail_servers() -> str:
    """Why they cannot be started here; '' where they can."""
    absent = [name for name in ("dovecot", "postfix") if _program(name) is None]
    if "dovecot" not in absent and not any((folder / "lmtp").exists() for folder in _DOVECOT_PARTS):
        absent.append("dovecot's lmtp")  # a package of its own
    if absent:
        return f"{' and '.join(absent)} not installed (Debian: apt-get install dovecot-imapd dovecot-lmtpd postfix)"
    return "" if os.geteuid() == 0 else "dovecot and postfix are started by root only"


@dataclass(frozen=True, slots=True)
class MailServers:
    """Where they listen; every mailbox has the password `PASSWORD`."""

    folder: Path
    imap_port: int
    smtp_port: int

    def add_mailbox(self, *names: str) -> None:
        """Mailboxes NAME@example.test."""
        account = pwd.getpwnam("nobody")
        with (self.folder / "users").open("a", encoding="utf-8") as file:
            for name in names:
                ids = f"{account.pw_uid}:{account.pw_gid}"
                file.write(f"{name}@{DOMAIN}:{{PLAIN}}{PASSWORD}:{ids}::{self.folder}/mail/{name}@{DOMAIN}\n")

    def renumber(self, name: str) -> None:
        """Forget the UIDs of a mailbox: its UIDVALIDITY changes, as after a restore."""
        for path in (self.folder / "mail" / f"{name}@{DOMAIN}").glob("dovecot*"):
            path.unlink()


@contextlib.contextmanager
def mail_servers(mailboxes: Sequence[str] = (), *, introspection_url: str = "") -> Iterator[MailServers]:
    """Both servers for the block.

    Args:
        introspection_url: where access tokens are looked up, such as `FakeOAuth`'s; '' for passwords only.

    Raises:
        TaskliftError: they are not installed, or do not start.
    """
    reason = missing_mail_servers()
    if reason:
        raise TaskliftError(reason)
    folder = Path(tempfile.mkdtemp(prefix="tasklift-mail-"))
    folder.chmod(0o755)
    imap, lmtp, smtp, sasl = _free_ports(4)
    servers = MailServers(folder, imap, smtp)
    try:
        (folder / "users").touch()
        servers.add_mailbox(*mailboxes)
        ports = {"imap": imap, "lmtp": lmtp, "smtp": smtp, "sasl": sasl}
        with _dovecot(folder, ports, introspection_url), _postfix(folder, ports):
            _wait_for((imap, smtp, lmtp), folder)
            yield servers
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _dovecot(folder: Path, ports: Mapping[str, int], introspection_url: str) -> Iterator[None]:
    for name in ("mail", "run", "state"):
        (folder / name).mkdir()
    shutil.chown(folder / "mail", "nobody")
    config = folder / "dovecot.conf"
    (folder / "oauth.conf").write_text(_OAUTH.format(url=introspection_url), encoding="utf-8")
    oauth = {
        "oauth_mechanisms": " xoauth2 oauthbearer" if introspection_url else "",
        "oauth_passdb": _OAUTH_PASSDB.format(folder=folder) if introspection_url else "",
    }
    config.write_text(_DOVECOT.format(folder=folder, **ports, **oauth), encoding="utf-8")
    with _process([str(_program("dovecot")), "-F", "-c", str(config)]):
        yield


@contextlib.contextmanager
def _postfix(folder: Path, ports: Mapping[str, int]) -> Iterator[None]:
    home = folder / "postfix"
    for place in (home, folder / "spool", folder / "data"):
        place.mkdir()
    shutil.chown(folder / "data", "postfix")
    (home / "main.cf").write_text(_MAIN.format(folder=folder, **ports), encoding="utf-8")
    (home / "master.cf").write_text(_MASTER.format(**ports), encoding="utf-8")
    program = str(_program("postfix"))
    started = subprocess.run([program, "-c", home, "start"], capture_output=True, text=True, check=False)
    if started.returncode:
        raise TaskliftError(f"postfix does not start: {started.stderr.strip()[-500:]}")
    try:
        yield
    finally:
        subprocess.run([program, "-c", home, "stop"], capture_output=True, check=False)


@contextlib.contextmanager
def _process(command: list[str]) -> Iterator[None]:
    running = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        running.terminate()
        running.wait(10)


def _program(name: str) -> str | None:
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in sockets]


def _wait_for(ports: Sequence[int], folder: Path) -> None:
    until = time.monotonic() + 20
    for port in ports:
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            if time.monotonic() > until:
                logs = [path.read_text(errors="replace")[-600:] for path in folder.glob("*.log")]
                raise TaskliftError(f"the mail server at port {port} does not answer: {logs}")
            time.sleep(0.05)
