from dataclasses import replace
from types import SimpleNamespace

import pytest

from models import catalog
from ui.actions.downloads import Download
from ui.actions.offers import BASE, FILES, Choice, Offer, Suggested
from ui.views.catalog import asking, cards, link, linked, online

ENTRY = catalog.find("medgemma-1.5-4b-it")
FITS = SimpleNamespace(words="fits, about 9 tokens/s", kind="fits", is_slow=False, about="")
SLOW = SimpleNamespace(words="fits, about 1.6 tokens/s", kind="fits", is_slow=True, about="")
LARGE = SimpleNamespace(words="too large by 2.1 GB", kind="too large", is_slow=False, about="It takes about 9.1 GB.")
CHOICES = (Choice(type="Q4_K_M", bytes=2_489_894_976, fits=FITS), Choice(type="Q8_0", bytes=4_130_000_000, fits=LARGE),
           Choice(type=BASE))
OFFER = Offer(entry=ENTRY, choices=CHOICES, repo=ENTRY.ggufs[0].repo, asked_repo=ENTRY.ggufs[0].repo,
              free_bytes=31_000_000_000)


def exact(**values) -> Offer:
    known = tuple(replace(one, is_exact=True, bytes=one.bytes or 8_600_000_000) for one in CHOICES)
    return replace(OFFER, choices=known, **values)


def opened(offer: Offer, kind: str = "", is_offline: bool = False) -> str:
    return cards([offer], None, f"{ENTRY.id}/{kind}" if kind else ENTRY.id, is_offline)


def test_a_closed_card_says_what_it_is_for_what_fits_and_under_which_licence():
    html = cards([OFFER], None, "", False)
    assert ENTRY.good_for[:40] in html and "4.3 billion parameters" in html and "reads pictures" in html
    assert f'href="{ENTRY.licence_url}" target="_blank" rel="noopener noreferrer"' in html
    assert '<p class="fits good">Q4_K_M: about 2.5 GB, fits, about 9 tokens/s</p>' in html
    assert "Q8_0" not in html and 'data-act="open"' in html and 'aria-expanded="false"' in html


def test_what_is_too_large_for_this_computer_is_said():
    html = cards([replace(OFFER, choices=CHOICES[1:2])], None, "", False)
    assert '<p class="fits caution">Q8_0: about 4.1 GB, too large by 2.1 GB</p>' in html


def test_an_open_card_has_every_type_and_asks_nobody_by_itself():
    html = opened(OFFER)
    assert html.count('data-act="choose"') == 3 and "too large by 2.1 GB" in html
    assert "The original, for training" in html and "asks for an account" in html and 'data-act="get"' not in html


def test_the_chosen_type_from_the_question_to_the_download():
    assert "Asking the hub" in opened(replace(OFFER, is_asking=True), "Q4_K_M")
    html = opened(exact(), "Q4_K_M")
    assert "2.5 GB to fetch; 31.0 GB are free on that disk. Fits, about 9 tokens/s." in html
    assert 'data-act="get" data-entry="medgemma-1.5-4b-it" data-kind="Q4_K_M"' in html and "Download 2.5 GB" in html
    assert 'aria-pressed="true"' in html and "<ol" not in html
    here = replace(exact(), choices=(replace(CHOICES[0], is_exact=True, is_here=True),))
    assert "is here already" in opened(here, "Q4_K_M") and 'data-act="get"' not in opened(here, "Q4_K_M")
    unknown = replace(OFFER, choices=(Choice(type=FILES),))
    assert "See which files there are" in opened(unknown) and "Ask the hub" in opened(unknown, FILES)
    assert "These are there; choose one" in opened(exact(), FILES)


def test_offline_says_so_and_how_to_switch_it():
    for offer, words in ((OFFER, "Go online and ask the hub"), (exact(), "Go online")):
        html = opened(offer, "Q4_K_M", is_offline=True)
        assert "Galen is offline" in html and "until you go offline again" in html
        assert f'data-act="online" data-entry="{ENTRY.id}" data-kind="Q4_K_M">{words}<' in html
        assert 'data-act="get"' not in html and ">Ask the hub<" not in html


def test_the_way_to_a_gated_model_in_three_steps():
    html = opened(exact(is_gated=True, asked_repo=ENTRY.hub_id), BASE)
    assert html.partition("<ol")[2].count("<li>") == 3 and "https://huggingface.co/join" in html
    assert f'href="https://huggingface.co/{ENTRY.hub_id}"' in html and 'href="/settings#hub-token"' in html
    assert "canReadGatedRepos" in html and "Download 8.6 GB" not in html      # it could only fail
    assert '<a class="main" href="/settings#hub-token">' in html and "Try without one" in html
    html = opened(exact(is_gated=True, asked_repo=ENTRY.hub_id, token_from="HF_TOKEN"), BASE)
    assert "A token is here already (from HF_TOKEN)." in html and "Download 8.6 GB" in html
    assert "Give Galen a token" not in html
    refused = replace(OFFER, is_gated=True, asked_repo=ENTRY.hub_id,
                      problem="The licence is not accepted; open https://huggingface.co/x/y, or look in Settings.")
    html = opened(refused, BASE)
    assert '<a href="https://huggingface.co/x/y" target="_blank"' in html and "Ask again" in html and "<ol" in html
    html = opened(replace(OFFER, problem="There is no network."), "Q4_K_M")     # an account would not help
    assert "Ask again" in html and "<ol" not in html


def test_the_recommended_one_stands_first_with_its_reason():
    suggested = Suggested(entry=ENTRY, type="Q4_K_M", reason="The largest <that> fits.")
    html = cards([OFFER], suggested, "", False)
    assert html.index("Recommended for this computer: MedGemma 1.5 4B Q4_K_M") < html.index("<ul")
    assert "The largest &lt;that&gt; fits." in html and "Get MedGemma 1.5 4B Q4_K_M" in html
    assert "It is here already" in cards([OFFER], replace(suggested, is_here=True), "", False)


@pytest.mark.parametrize(("text", "shown"), [
    ("<b>&", "&lt;b&gt;&amp;"), ("see https://a.b/c_d?e=f.", 'see <a href="https://a.b/c_d?e=f" target="_blank" '
                                 'rel="noopener noreferrer">a.b/c_d</a>.'),
    ('x https://a/"onmouseover=1 y', 'x <a href="https://a/" target="_blank" rel="noopener noreferrer">a/</a>'
                                     '&quot;onmouseover=1 y')])
def test_a_sentence_of_the_hub_is_escaped_and_its_addresses_are_links(text: str, shown: str):
    assert linked(text) == shown


def of(state: str, **values) -> Download:
    return Download(**{"run": "r", "title": "MedGemma 1.5 4B Q4_K_M", "state": state, "words": "", "entry": ENTRY.id,
                       **values})


@pytest.mark.parametrize(("state", "words"), [("running", "being fetched"), ("waiting", "being fetched"),
                                              ("paused", "download paused"), ("failed", "download stopped")])
def test_a_card_says_that_its_model_is_on_its_way(state: str, words: str):
    html = cards([exact()], None, f"{ENTRY.id}/Q4_K_M", False, downloads=[of(state)])
    assert f'<em class="state">{words}</em>' in html and "under Downloads" in html and 'data-act="get"' not in html
    other = cards([exact()], None, f"{ENTRY.id}/Q5_K_M", False, downloads=[of(state, entry="gemma-3-1b-it")])
    assert words not in other
    assert words in cards([exact()], None, "", False, downloads=[of(state, entry="", repo=OFFER.repo)])


def test_a_card_says_that_its_model_is_here():
    assert '<em class="state">here as Q4_K_M, Q8_0</em>' in cards([replace(OFFER, held=("Q4_K_M", "", "Q8_0"))], None,
                                                                   "", False)
    assert '<em class="state">is here</em>' in cards([replace(OFFER, held=("",))], None, "", False)
    assert "state" not in cards([OFFER], None, "", False, downloads=[of("done")])


def test_what_the_cards_can_be_narrowed_down_by():
    html = cards([OFFER], None, "", False, "Speeds are reckoned.")
    assert all(f'data-only="{name}" aria-pressed="false"' in html for name in ("well", "medical", "sees", "trains"))
    assert 'class="well medical sees trains"' in html and '<p class="quiet">Speeds are reckoned.</p>' in html
    assert 'class="medical sees trains"' in cards([replace(OFFER, choices=CHOICES[1:])], None, "", False)


def test_a_slow_one_does_not_run_well():
    html = cards([replace(OFFER, choices=(replace(CHOICES[0], fits=SLOW),))], None, "", False)
    assert '<p class="fits caution">Q4_K_M: about 2.5 GB, fits, about 1.6 tokens/s, slow</p>' in html
    assert 'class="medical sees trains"' in html


def test_what_is_too_large_says_what_it_takes():
    assert "Too large by 2.1 GB. It takes about 9.1 GB." in opened(exact(), "Q8_0")


def test_while_galen_is_online_the_page_says_so_and_leads_back():
    assert online(True, [of("running")]) == ""
    html = online(False, [])
    assert 'in <a href="/settings">Settings</a>' in html
    assert "stays so until you switch it off" in html and 'data-act="offline"' in html and "pauses" not in html
    assert "pauses what is being fetched" in online(False, [of("running")])


def test_a_model_that_the_catalog_does_not_know_claims_nothing():
    entry = catalog.find_any("hub:some<b>:thing-GGUF")
    offer = Offer(entry=entry, choices=(Choice(type=FILES),), repo=entry.hub_id, asked_repo=entry.hub_id)
    html = cards([offer], None, f"{entry.id}/{FILES}", False)
    assert "parameters" not in html and "<b>:" not in html and "number behind Q" not in html
    assert 'data-entry="hub:some&lt;b&gt;:thing-GGUF"' in html
    assert "It holds no GGUF" in cards([replace(offer, choices=(), is_said=True)], None, f"{entry.id}/{FILES}", False)
    assert "<label>" in asking() and "OWNER/NAME" in asking()


def test_no_other_kind_of_address_becomes_a_link():
    assert link("javascript:alert(1)", "x<y") == "x&lt;y"
