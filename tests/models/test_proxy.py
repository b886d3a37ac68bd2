import os

from models import online, proxy


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


def test_folders_mean_the_same_wherever_a_process_runs_and_nothing_is_not_set():
    names = {"HF_HOME": "cache", "HF_HUB_CACHE": "~/hub", "XDG_CACHE_HOME": "$HOME/c",
             "GALEN_HOME": "$HOME/g", "HF_TOKEN_PATH": " ", "HF_ENDPOINT": "", "HF_TOKEN": "", "OTHER": ""}
    online.settle(names)
    assert names == {"HF_HOME": os.path.abspath("cache"), "HF_HUB_CACHE": "~/hub", "XDG_CACHE_HOME": "$HOME/c",
                     "GALEN_HOME": os.path.abspath("$HOME/g"), "HF_TOKEN": "", "OTHER": ""}
    assert "HF_HOME" not in online.environment({"HF_HOME": ""})
