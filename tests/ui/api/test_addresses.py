import socket

import pytest

from models.errors import UserError
from ui.api import addresses
from ui.api.addresses import LOCAL_NAMES, place, url


@pytest.mark.parametrize("host", ["", "127.0.0.1", "localhost", " LOCALHOST "])
def test_without_a_wish_only_this_computer_is_let_in(host: str):
    found = place(host)
    assert (found.host, found.is_open, found.names, found.elsewhere) == ("127.0.0.1", False, LOCAL_NAMES, ())


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "[::]"])
def test_all_addresses_go_by_the_names_of_this_machine_only(host: str):
    found = place(host)
    assert found.is_open and found.host == host.strip("[]") and found.names >= LOCAL_NAMES
    assert set(found.elsewhere) <= found.names and "127.0.0.1" not in found.elsewhere
    assert not {"0.0.0.0", "::", "*", ""} & found.names and "evil.example" not in found.names


def test_another_loopback_address_is_open_and_goes_by_its_name():
    found = place("127.0.0.2")
    assert found.is_open and found.host == found.shown == "127.0.0.2" and "127.0.0.1" not in found.names


def test_the_name_of_this_machine_is_one_of_its_addresses():
    name = socket.gethostname().lower()
    outer = place("0.0.0.0").elsewhere
    if not outer or name.startswith("localhost"):
        pytest.skip("this machine has no name or no network")
    found = place(name)
    assert found.host in outer and name in found.names and found.is_open


def test_nothing_is_asked_of_a_network(monkeypatch: pytest.MonkeyPatch):
    def refuse(*values: object) -> None:
        raise AssertionError("a name was looked up")

    for name in ("getaddrinfo", "gethostbyname", "gethostbyname_ex", "getfqdn"):
        monkeypatch.setattr(socket, name, refuse)
    with pytest.raises(UserError, match="'galen.example' is none of this machine"):
        place("galen.example")
    place("0.0.0.0")


def test_addresses_as_a_browser_takes_them():
    assert url("127.0.0.1", 7860) == "http://127.0.0.1:7860" and url("::1", 1) == "http://[::1]:1"
    assert addresses.place("::1").is_open is False


def test_what_is_sent_does_not_wait_for_the_other_end():
    """asyncio sets TCP_NODELAY on what a listener accepts only where the listener's protocol is named."""
    listener = addresses.listen(0)
    try:
        assert listener.proto == socket.IPPROTO_TCP
        with socket.create_connection(listener.getsockname()):
            accepted, _ = listener.accept()
            assert accepted.proto == socket.IPPROTO_TCP
            accepted.close()
    finally:
        listener.close()
