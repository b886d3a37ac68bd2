from contextlib import nullcontext

import pytest

from models import catalog
from models.download import DownloadConfig
from models.errors import UserError
from models.hub_words import Gone
from models.listing import HubFile, Listing
from tests.ui.actions.test_offers import FakeMachine
from ui.actions import pull

GB = 1_000_000_000


class FakeHub:
    """Holds these files in whatever repository it is asked for."""

    def __init__(self, **files):
        self.files, self.asked, self.gone = files, [], set()

    def ask(self, repo):
        self.asked.append(repo)
        if repo in self.gone:
            raise Gone(f"There is no {repo} on the hub")
        return Listing(repo=repo, revision="c" * 40, is_gated=False, files=tuple(
            HubFile(name=f"model-{name}.gguf", bytes=count, sha256="a" * 64) for name, count in self.files.items()))


def config(words, is_base=False, machine=None, **files):
    hub = FakeHub(**(files or {"Q4_K_M": 2 * GB, "Q5_K_M": 2.8 * GB, "Q8_0": 4 * GB}))
    return pull.config_of(words, is_base, lambda: nullcontext(machine or FakeMachine()), hub.ask)


def test_the_largest_that_fits_where_no_type_is_named():
    entry = catalog.find("gemma-3-1b-it")
    assert config("gemma-3-1b-it") == DownloadConfig(
        repo=entry.ggufs[0].repo, entry=entry.id, files=("model-Q5_K_M.gguf",))
    assert config("gemma-3-1b-it:q8_0").files == ("model-Q8_0.gguf",)
    assert config("google/gemma-3-1b-it").entry == "gemma-3-1b-it"


def test_any_repository_of_the_hub():
    assert config("somebody/a-model-GGUF:Q8_0") == DownloadConfig(repo="somebody/a-model-GGUF",
                                                                files=("model-Q8_0.gguf",))
    assert config("somebody/a-model-GGUF", Q8_0=GB).files == ("model-Q8_0.gguf",)
    named = catalog.find("gemma-3-4b-it").ggufs[1].repo
    assert config(f"{named}:Q8_0").repo == named


def test_a_whole_base_is_not_asked_for_here():
    assert config("gemma-3-1b-it", True) == DownloadConfig(repo="google/gemma-3-1b-it", entry="gemma-3-1b-it")
    assert config("somebody/a-model", True) == DownloadConfig(repo="somebody/a-model")


@pytest.mark.parametrize(("words", "is_base", "files", "said"), [
    ("no-such", False, {}, "There is no model 'no-such' in the catalog; there are medgemma"),
    ("gemma-3-1b-it:Q9_9", False, {}, "holds no Q9_9; there are Q4_K_M \\(2.0 GB\\)"),
    ("gemma-3-1b-it:Q8_0", True, {}, "which has no type; leave out :Q8_0"),
    ("somebody/a-model", False, {}, "several types; name one, as somebody/a-model:Q4_K_M"),
    ("gemma-3-12b-it", False, {"Q4_K_M": 7 * GB, "Q8_0": 12 * GB}, "None of the types of Gemma 3 12B")])
def test_what_can_not_be_pulled(words, is_base, files, said):
    with pytest.raises(UserError, match=said):
        config(words, is_base, **files)


def test_a_repository_without_models():
    with pytest.raises(UserError, match="holds no GGUF"):
        pull.config_of("gemma-3-1b-it", False, lambda: nullcontext(FakeMachine()), FakeHub().ask)


def test_the_next_repository_where_the_first_one_is_gone():
    first, second = (source.repo for source in catalog.find("gemma-3-4b-it").ggufs[:2])
    hub = FakeHub(Q8_0=GB)
    hub.gone = {first}
    assert pull.config_of("gemma-3-4b-it:Q8_0", False, lambda: nullcontext(FakeMachine()), hub.ask).repo == second
    assert hub.asked == [first, second]
    with pytest.raises(UserError, match=f"There is no {first}"):
        pull.config_of(f"{first}:Q8_0", False, lambda: nullcontext(FakeMachine()), hub.ask)
    hub.gone = {source.repo for source in catalog.find("gemma-3-4b-it").ggufs}
    with pytest.raises(UserError, match=f"There is no {first}"):
        pull.config_of("gemma-3-4b-it:Q8_0", False, lambda: nullcontext(FakeMachine()), hub.ask)
