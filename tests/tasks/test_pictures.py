"""Pictures in a prompt stand where transformers' processor puts them."""

import pytest
from transformers import AutoTokenizer

from models.errors import UserError
from tasks.hf_tokenizer import HFTokenizer
from tasks.pictures import Shown
from tasks.prompt import fit, prompt_ids
from tests.runtime.seeing import save_tokenizer

SOFT, COUNT = 8191, 16
BLOCK = "\n\n<start_of_image>" + "<image_soft_token>" * COUNT + "<end_of_image>\n\n"


@pytest.fixture(scope="module")
def theirs(tmp_path_factory, demo_base):
    folder = tmp_path_factory.mktemp("tokenizer")
    save_tokenizer(folder, demo_base)
    return AutoTokenizer.from_pretrained(folder)


@pytest.fixture(scope="module")
def ours(theirs):
    return HFTokenizer(theirs)


class Plain(HFTokenizer):
    """The tokenizer of a file in which the markers of a picture are plain pieces."""

    def __init__(self, hf):
        super().__init__(hf)
        self.controls = frozenset(one for one in self.controls if "image" not in one)


def shown(number=-1):
    return {"type": "image", "picture": Shown((number,) * COUNT, "<start_of_image>", "<end_of_image>")}


def text(words):
    return {"type": "text", "text": words}


CONVERSATIONS = [
    [{"role": "user", "content": [shown(), text("What is this?")]}],
    [{"role": "user", "content": [text("  Compare \n\n"), shown(), text("and"), shown(), text("\nplease. ")]}],
    [{"role": "user", "content": [shown()]}],
    [{"role": "system", "content": "You are a radiologist."}, {"role": "user", "content": [text("Look:"), shown()]},
     {"role": "assistant", "content": "A chest."}, {"role": "user", "content": "Sure?"}],
]


@pytest.mark.parametrize("messages", CONVERSATIONS)
def test_ids_equal_those_of_transformers_processor(ours, theirs, messages):
    plain = [{**m, "content": [{"type": "image"} if "picture" in p else p for p in m["content"]]
              if isinstance(m["content"], list) else m["content"]} for m in messages]
    rendered = theirs.apply_chat_template(plain, tokenize=False, add_generation_prompt=True)
    wanted = theirs(rendered.replace("<start_of_image>", BLOCK), add_special_tokens=False)["input_ids"]
    assert [SOFT if one == -1 else one for one in prompt_ids(messages, ours)] == wanted


def test_an_answer_known_by_its_ids_stays_so_beside_a_picture(ours):
    messages = [*CONVERSATIONS[0], {"role": "assistant", "content": "A chest."}, {"role": "user", "content": "Sure?"}]
    ids = prompt_ids(messages, ours, {"A chest.": [77, 78, 79]})
    at = ids.index(77)
    assert ids[at:at + 3] == [77, 78, 79] and ids[:len(prompt_ids(CONVERSATIONS[0], ours))] == prompt_ids(
        CONVERSATIONS[0], ours)


def test_pictures_count_when_old_turns_must_go(ours):
    messages = [one for k in range(6) for one in (
        {"role": "user", "content": [shown(-1 - k), text("Look.")]}, {"role": "assistant", "content": "Yes."})][:-1]
    ids, dropped = fit(messages, ours, 120)
    assert dropped and len(ids) <= 90 and -6 in ids and -1 not in ids


def test_markers_that_are_no_control_tokens_are_refused(theirs):
    with pytest.raises(UserError, match="has no place for these pictures"):
        prompt_ids(CONVERSATIONS[0], Plain(theirs))


@pytest.mark.parametrize("messages, words", [
    ([{"role": "system", "content": [shown()]}], "only a user's message may"),
    ([{"role": "user", "content": [{"type": "image"}]}], "reads text only"),
    ([{"role": "user", "content": [{"type": "image", "picture": [1, 2]}]}], "reads text only"),
])
def test_what_is_no_picture_is_refused(ours, messages, words):
    with pytest.raises(UserError, match=words):
        prompt_ids(messages, ours)
