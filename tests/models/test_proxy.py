import os

from models import proxy


def test_what_is_hidden_here_is_handed_on(monkeypatch):
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv(proxy.KEPT, "{}")
    assert proxy.hidden() == {}
    proxy.hide()
    assert proxy.hidden() == {}
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    proxy.hide()
    monkeypatch.setenv("no_proxy", "localhost")
    proxy.hide()                                # a second server in one process keeps what the first one hid
    assert not [name for name in os.environ if name.lower().endswith("_proxy")]
    assert proxy.hidden() == {"HTTPS_PROXY": "http://127.0.0.1:9", "no_proxy": "localhost"}
