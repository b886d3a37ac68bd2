from tasks.engine import Engine, TooLong, too_long
from tests.tasks.fake_engine import END, LIKED, FakeEngine

ASKED = [{"role": "user", "content": "Is it benign?"}]


def test_what_does_not_fit_says_by_how_much():
    engine = FakeEngine(ctx_tokens=10)
    assert too_long(engine, [1] * 8, 2) is None
    assert too_long(engine, [1] * 9, 2) == TooLong(11, 10)
    assert str(TooLong(1100, 1000)) == "1,100 tokens, and the context holds 1,000"


def test_the_fake_keeps_the_protocol_and_does_as_told():
    engine: Engine = FakeEngine(prefers={"benign": "Yes"}, says={"benign": " It is. "})
    prompt = engine.prompt_ids(ASKED)
    yes, no = engine.encode("Yes"), engine.encode("No")
    scores = engine.score([(prompt, [[*yes, END], no])])
    assert scores == engine.score([(prompt, [[*yes, END], no])])
    assert scores[0][0] == [LIKED] * 4 and max(scores[0][1]) <= -1.0
    answer, cut = engine.answers([prompt], 20)[0], engine.answers([prompt], 3)[0]
    assert (answer.text, answer.reason) == ("It is.", "stop")
    assert (cut.text, cut.tokens, cut.reason) == ("It", 3, "length")
