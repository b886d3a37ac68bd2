from dataclasses import replace
from types import SimpleNamespace

import pytest

from models import catalog
from ui.actions.offers import BASE, FILES, Choice, Offer, Suggested
from ui.views.catalog import cards, link, linked

ENTRY = catalog.find("medgemma-1.5-4b-it")
FITS = SimpleNamespace(words="fits, about 9 tokens/s", kind="fits")
LARGE = SimpleNamespace(words="too large by 2.1 GB", kind="too large")
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
        assert "Galen is offline" in html and 'in <a href="/settings">Settings</a>' in html
        assert f'data-act="online" data-entry="{ENTRY.id}" data-kind="Q4_K_M">{words}<' in html
        assert 'data-act="get"' not in html and ">Ask the hub<" not in html


def test_the_way_to_a_gated_model_in_three_steps():
    html = opened(exact(is_gated=True, asked_repo=ENTRY.hub_id), BASE)
    assert html.partition("<ol")[2].count("<li>") == 3 and "https://huggingface.co/join" in html
    assert f'href="https://huggingface.co/{ENTRY.hub_id}"' in html and 'href="/settings#hub-token"' in html
    assert "canReadGatedRepos" in html and "Download 8.6 GB" in html
    assert "A token is here already (from HF_TOKEN)." in opened(
        exact(is_gated=True, asked_repo=ENTRY.hub_id, token_from="HF_TOKEN"), BASE)
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
    ("<b>&", "&lt;b&gt;&amp;"), ("see https://a.b/c_d.", 'see <a href="https://a.b/c_d" target="_blank" '
                                 'rel="noopener noreferrer">https://a.b/c_d</a>.'),
    ('x https://a/"onmouseover=1 y', 'x <a href="https://a/" target="_blank" rel="noopener noreferrer">https://a/</a>'
                                     '&quot;onmouseover=1 y')])
def test_a_sentence_of_the_hub_is_escaped_and_its_addresses_are_links(text: str, shown: str):
    assert linked(text) == shown


def test_no_other_kind_of_address_becomes_a_link():
    assert link("javascript:alert(1)", "x<y") == "x&lt;y"
