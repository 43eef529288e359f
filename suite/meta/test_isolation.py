"""Nothing leaves the machine, nothing of the user's is read or written."""

import os
import socket
import ssl
import subprocess
import sys
from pathlib import Path

import pytest

from fixtures import isolation

HOUSE = Path(__file__).parents[2]


def test_other_addresses_are_refused_by_name():
    """A connection beyond loopback fails with its address, and is written down."""
    with socket.socket() as other, pytest.raises(isolation.Leak, match=r"192\.0\.2\.1:443"):
        other.connect(("192.0.2.1", 443))
    with pytest.raises(isolation.Leak, match=r"hub\.example"):
        socket.getaddrinfo("hub.example", 443)

    assert isolation.attempts == ["192.0.2.1:443", "hub.example"]
    isolation.attempts.clear()


def test_loopback_is_open():
    """The local Hub can be reached."""
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()):
        pass
    assert isolation.attempts == []


def test_user_settings_are_gone(hub):
    """Only the suite's own settings are left of those that the libraries read."""
    assert os.environ["HF_ENDPOINT"] == hub.url
    assert Path(os.environ["HF_HOME"]).is_relative_to(Path.home())
    assert not {name for name in os.environ if name.startswith(("TRANSFORMERS_", "DATASETS_", "WANDB_"))}


def test_clients_find_one_certificate():
    """Whatever is installed, or set by the user, a client that speaks TLS reads one certificate."""
    assert len(ssl.create_default_context().get_ca_certs()) == 1


def test_library_imported_too_early_is_an_error():
    """An environment set after the import would have no effect, so that is refused."""
    code = "import sys, fixtures.isolation as i; sys.modules['torch'] = sys; i.enter({})"

    done = subprocess.run([sys.executable, "-c", code], cwd=HOUSE, capture_output=True, text=True)

    assert "torch was imported before the environment was set" in done.stderr


def test_process_has_the_environment_asked_for(fresh_process):
    """A fresh process has the variables it was started with; the same variables share one process."""
    environment = {"HF_HUB_OFFLINE": "1"}

    first = fresh_process(lambda: (os.getpid(), os.environ["HF_HUB_OFFLINE"]), env=environment)
    second = fresh_process(lambda: (os.getpid(), os.environ["HF_HUB_OFFLINE"]), env=environment)

    assert first == second
    assert first[0] != os.getpid()
    assert first[1] == "1"
    assert fresh_process(lambda: os.environ.get("HF_HUB_OFFLINE")) is None


def test_process_hands_back_what_is_raised(fresh_process):
    """An exception of the function arrives; one that cannot be pickled arrives as text."""

    class Stubborn(Exception):
        def __init__(self, *, reason):
            super().__init__(reason)

    def fail():
        raise Stubborn(reason="because")

    with pytest.raises(ZeroDivisionError):
        fresh_process(lambda: 1 / 0)
    with pytest.raises(RuntimeError, match="Stubborn: because"):
        fresh_process(fail)


def test_process_is_guarded(fresh_process):
    """A connection beyond loopback fails there too, even if it is swallowed."""

    def swallow():
        try:
            socket.create_connection(("192.0.2.1", 443), timeout=1)
        except Exception:
            return "nothing happened"

    with pytest.raises(isolation.Leak, match=r"192\.0\.2\.1"):
        fresh_process(swallow)
