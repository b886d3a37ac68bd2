"""Pictures in the cache: logits as transformers computes them, cells used again, streams beside them undisturbed."""

import io
import shutil
import threading
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import Gemma3ForConditionalGeneration
from transformers.models.gemma3.image_processing_pil_gemma3 import Gemma3ImageProcessorPil

from models.errors import UserError
from runtime.config import LoadConfig, SampleConfig
from runtime.context import Context, Row
from runtime.llama import Model
from runtime.picture import Picture, received, sent
from runtime.sampler import Sampler
from runtime.scheduler import Request, Scheduler
from runtime.vision import Eyes, pixels
from tasks.prompt import prompt_ids
from tests.runtime.seeing import PICTURE_TOKENS, SIDE, SOFT, picture, say

GREEDY = SampleConfig(temperature=0.0, max_tokens=16, logprobs=0)
LONG_TEXT = "The patient has had a cough for two weeks, no fever, and was told to come back if it does not get better. "


@pytest.fixture(scope="module")
def config(seeing_gguf):
    return LoadConfig(exact=True, threads=1, projector=str(seeing_gguf.parent / "mmproj-seeing.gguf"))


@pytest.fixture(scope="module")
def model(seeing_gguf, config):
    model = Model(seeing_gguf, config)
    yield model
    model.close()


@pytest.fixture
def eyes(model, config):
    eyes = Eyes(Path(config.projector), model, config, 1)
    yield eyes
    eyes.close()


def ready(messages, eyes, model):
    """(ids, pictures) of messages."""
    shown, pictures = received(sent(messages), eyes.projector)
    return prompt_ids(shown, model), pictures


def logits_of(ids, pictures, eyes, context):
    """Logits (n_vocab,) behind each id, None within a picture; every stretch of text in one batch."""
    found, at = [], 0
    while at < len(ids):
        if ids[at] < 0:
            context.decode_picture(eyes.look(pictures[ids[at]]).result(), at, 0)
            found += [None] * PICTURE_TOKENS
        else:
            end = next((k for k in range(at, len(ids)) if ids[k] < 0), len(ids))
            context.decode([Row(ids[k], k, (0,), True) for k in range(at, end)])
            found += [context.logits(k - at).copy() for k in range(at, end)]
        at = len(found)
    return found


@torch.inference_mode()
def test_logits_equal_transformers(seeing_base, model, config, eyes):
    reference = Gemma3ForConditionalGeneration.from_pretrained(
        seeing_base, dtype=torch.float32, attn_implementation="eager").eval()
    conversation = [say("What is on them?", picture(1), picture(2)), {"role": "assistant", "content": "A chest."},
                    say(LONG_TEXT * 2 + "And now?", picture(3))]
    ids, pictures = ready(conversation, eyes, model)
    context = Context(model, config, 512)
    ours = logits_of(ids, pictures, eyes, context)
    context.close()
    processor = Gemma3ImageProcessorPil.from_pretrained(seeing_base)
    seen = torch.tensor(np.stack(processor([picture_image(one) for one in pictures.values()])["pixel_values"]))
    asked = torch.tensor([[SOFT if token < 0 else token for token in ids]])
    kinds = torch.tensor([[int(token < 0) for token in ids]])
    theirs, blind = (reference(input_ids=asked, pixel_values=values, token_type_ids=kinds).logits[0].numpy()
                     for values in (seen, seen * 0))
    text = [k for k, row in enumerate(ours) if row is not None]
    gap = max(float(np.abs(ours[k] - theirs[k]).max()) for k in text)
    embedded = reference.model.get_image_features(seen).pooler_output.numpy()
    looks = np.stack([eyes.look(one).result() for one in pictures.values()])
    print(f"\nlogits differ by {gap:.1e}, what pictures become by {np.abs(looks - embedded).max():.1e}")
    assert np.abs(blind[text[-1]] - theirs[text[-1]]).max() > 0.1        # or the pictures say nothing
    assert gap < 2e-3 and np.abs(looks - embedded).max() < 5e-3


def picture_image(one: Picture):
    return Image.fromarray(pixels(one, SIDE))


def test_a_picture_of_another_shape_is_stretched_as_transformers_does_it(seeing_base, model, eyes):
    processor = Gemma3ImageProcessorPil.from_pretrained(seeing_base)
    for width, height in ((200, 90), (31, 77), (640, 480)):
        file = picture(width, width, height)
        theirs = processor(Image.open(io.BytesIO(file)))["pixel_values"][0]
        ours = pixels(Picture(file, PICTURE_TOKENS), SIDE).astype(np.float32).transpose(2, 0, 1) / 127.5 - 1
        assert np.abs(ours - theirs).max() < 1e-5


class Blind:
    """Eyes that never have done with a picture, but for one."""

    def __init__(self, eyes=None, known=None):
        self.eyes, self.known, self.unseen = eyes, known, Future()

    def look(self, one):
        return self.eyes.look(one) if one.data == self.known else self.unseen

    def wait(self):
        if self.eyes:
            self.eyes.wait()


class HeldEyes(Eyes):
    """Eyes that begin to look when they are told."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.told = threading.Event()

    def _encoded(self, picture):
        assert self.told.wait(60)
        return super()._encoded(picture)


class Desk:
    """A scheduler that sees, with what it told."""

    def __init__(self, model, config, eyes, cells=1024, slots=4):
        self.model, self.eyes, self.ends, self.count = model, eyes, {}, 0
        self.projector = eyes.projector
        self.context = Context(model, config, cells)
        self.scheduler = Scheduler(model, self.context, slots, cells - 8, lambda *told: None, self.end, self.look)

    def look(self, one):
        return self.eyes.look(one)

    def end(self, request, reason):
        self.ends[request.number] = reason

    def submit(self, messages, sample=GREEDY):
        ids, pictures = ready(messages, self, self.model)
        self.count += 1
        request = Request(number=self.count, ids=ids, sample=sample, pictures=pictures)
        self.scheduler.submit(request)
        return request

    def run(self):
        for _ in range(10_000):
            if not self.scheduler.has_work:
                return
            self.scheduler.step()
            if self.scheduler.is_waiting:
                self.eyes.wait()
        raise AssertionError("it never ends")

    def ask(self, messages, sample=GREEDY):
        request = self.submit(messages, sample)
        self.run()
        return request


@pytest.fixture
def open_desk(model, config, eyes):
    desks = []

    def one(batch_tokens=0, **settings):
        desks.append(Desk(model, replace(config, batch_tokens=batch_tokens), eyes, **settings))
        return desks[-1]

    yield one
    for desk in desks:
        desk.context.close()


def test_a_later_turn_uses_the_pictures_cells_and_runs_no_encoder(open_desk, eyes, model, config):
    desk = open_desk()
    first = desk.ask([say("What is this?", picture(1))])
    assert desk.ends[1] == "length" and eyes.encoded == 1 and first.cached == 0
    desk.eyes = later = Eyes(Path(config.projector), model, config, 1)      # which do not know what it became
    answer = {"role": "assistant", "content": "x"}
    second = desk.ask([say("What is this?", picture(1)), answer, say("And this?", picture(2))])
    assert second.cached >= len(first.ids) - 8 and later.encoded == 1
    later.close()
    alone = open_desk().ask([say("What is this?", picture(1)), answer, say("And this?", picture(2))])
    assert alone.made == second.made and alone.cached == 0
    assert eyes.encoded == 2                            # the first one was remembered


def test_pictures_are_told_apart_and_the_same_one_again_is_known(open_desk, eyes):
    desk = open_desk()
    first = desk.ask([say("What is this? " + LONG_TEXT, picture(1))])
    other = desk.ask([say("What is this? " + LONG_TEXT, picture(2))])
    assert other.cached <= first.ids.index(next(one for one in first.ids if one < 0)) and other.made != first.made
    again = desk.ask([say("What is this? " + LONG_TEXT, picture(1))])
    assert again.cached == len(again.ids) and again.made == first.made and eyes.encoded == 2


def test_streams_and_pictures_go_on_together(open_desk):
    conversations = [[say(f"Number {k}. {LONG_TEXT}", *map(picture, range(k % 3)))] for k in range(6)]
    alone = [open_desk().ask(messages).made for messages in conversations]
    desk = open_desk(slots=3)
    requests = [desk.submit(messages) for messages in conversations]
    desk.run()
    assert [request.made for request in requests] == alone


def test_a_stream_gets_its_tokens_while_a_picture_is_looked_at(open_desk):
    desk = open_desk()
    reader = desk.submit([say("Tell me everything.")], SampleConfig(temperature=0.0, max_tokens=200))
    while not reader.made:
        desk.scheduler.step()
    desk.eyes = Blind()
    waiting = desk.submit([say("What is this?", picture(9))])
    for _ in range(20):
        desk.scheduler.step()
    assert len(reader.made) >= 20 and not waiting.made and not desk.scheduler.is_waiting
    desk.scheduler.cancel(reader)
    desk.scheduler.step()
    assert desk.scheduler.is_waiting                    # nothing else to do: the main thread may sleep
    desk.scheduler.cancel(waiting)
    desk.scheduler.step()
    assert desk.ends[2] == "cancelled" and not desk.scheduler.has_work


def test_text_in_front_of_a_picture_waits_for_nothing(open_desk):
    desk = open_desk(batch_tokens=16, slots=1)
    desk.eyes = Blind()
    message = say("", picture(1))
    message["content"].insert(0, {"type": "text", "text": LONG_TEXT})
    request = desk.submit([message])
    for _ in range(20):
        before = len(request.sequence.ids) if request.sequence else 0
        desk.scheduler.step()
        if len(request.sequence.ids) == before:
            break
        at_picture = request.ids[len(request.sequence.ids)] < 0
        assert request.look is desk.eyes.unseen and desk.scheduler.is_waiting == at_picture
    assert before > 16 and at_picture


def test_a_request_sent_back_to_wait_looks_at_its_pictures_from_the_first(open_desk, eyes):
    messages = [say("What is this?", picture(1), picture(2))]
    alone = open_desk().ask(messages).made
    desk = open_desk(cells=256)
    desk.eyes = Blind(eyes, picture(1))
    other = desk.submit([say("Tell me everything.")], SampleConfig(temperature=0.0, max_tokens=220))
    request = desk.submit(messages)
    for wanted in (True, False):                        # it looks at the second picture; then it must give its cells
        while (request.look is desk.eyes.unseen and request.sequence is not None) != wanted:
            assert not desk.ends
            desk.scheduler.step()
            desk.eyes.wait()
    assert request.sequence is None and other.sequence
    desk.eyes = eyes
    desk.run()
    assert request.made == alone


def test_pictures_push_no_word_out_of_the_repeat_penalty(model):
    logits = np.zeros(model.n_vocab, np.float32)
    logits[[10, 11]] = 1.0, 0.9
    sampler = Sampler(model, SampleConfig(temperature=0.0, repeat_penalty=1.3), [10, *[-5] * 300])
    assert sampler.pick(logits) == 11
    sampler.close()


def test_too_few_cells_for_all_at_once_lose_no_picture(open_desk):
    sample = SampleConfig(temperature=0.0, max_tokens=110)
    conversations = [[say(f"Number {k}.", picture(k), picture(k + 1))] for k in range(3)]
    alone = [open_desk().ask(messages, sample).made for messages in conversations]
    desk = open_desk(cells=256, slots=2)
    requests = [desk.submit(messages, sample) for messages in conversations]
    sent_back = set()
    while desk.scheduler.has_work:
        desk.scheduler.step()
        desk.eyes.wait()
        sent_back |= {one.number for one in requests if one.made and not one.sequence and one.number not in desk.ends}
    assert sent_back
    assert [request.made for request in requests] == alone


def test_a_picture_that_nobody_waits_for_is_not_looked_at(open_desk, model, config):
    desk = open_desk()
    desk.eyes = eyes = HeldEyes(Path(config.projector), model, config, 1)
    requests = [desk.submit([say("What is this?", picture(k))]) for k in range(3)]
    for _ in range(3):
        desk.scheduler.step()
    assert desk.scheduler.is_waiting
    for request in requests[:2]:
        desk.scheduler.cancel(request)
    desk.scheduler.step()
    eyes.told.set()
    desk.run()
    eyes.close()
    assert eyes.encoded == 2 and len(requests[2].made) == 16        # the first had begun, the second had not


def test_a_broken_picture_ends_its_request_alone(open_desk):
    desk = open_desk()
    good = desk.submit([say("What is this?", picture(1))])
    bad = desk.submit([say("What is this?", picture(2)[:300])])
    desk.run()
    assert isinstance(desk.ends[bad.number], UserError) and "broken" in str(desk.ends[bad.number])
    assert desk.ends[good.number] == "length" and len(good.made) == 16


def test_what_failed_once_is_tried_again(model, config, tmp_path):
    path = Path(shutil.copy(config.projector, tmp_path / "mmproj.gguf"))
    eyes, one = Eyes(path, model, config, 1), Picture(picture(1), PICTURE_TOKENS)
    path.rename(tmp_path / "elsewhere.gguf")
    with pytest.raises(UserError, match="libmtmd can not load mmproj.gguf"):
        eyes.look(one).result()
    (tmp_path / "elsewhere.gguf").rename(path)
    assert eyes.look(one).result().shape == (PICTURE_TOKENS, 64)
    eyes.close()


def test_a_picture_is_never_divided_whatever_the_batch(model, config, open_desk):
    small = Context(model, replace(config, batch_tokens=9, slots=1), 256)
    assert small.batch_tokens == PICTURE_TOKENS
    small.close()
