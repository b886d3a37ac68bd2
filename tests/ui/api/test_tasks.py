"""The references' endpoints on a real server, as their clients use them."""

import base64
import csv
import io
import json
import random
import socket
import sqlite3
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from openapi_spec_validator import validate

from tests.ui.fakes import wait_for
from tests.ui.running import RunningApp

TEXT = [{"type": "text", "text": "What is anaemia?"}]
PICTURE = "data:image/png;base64," + base64.b64encode(b"\x89PNG\r\n" + b"x" * 30).decode()


@pytest.fixture(scope="module")
def client(app: RunningApp) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=app.url, timeout=120) as made:
        yield made


def papers(seed: int = 0) -> list[tuple[str, str, str]]:
    rng = random.Random(seed)
    words = {"cardiology": "heart artery infarction valve rhythm", "neurology": "brain seizure stroke cortex nerve",
             "oncology": "tumour cancer metastasis lymphoma chemotherapy"}
    rows = []
    for k in range(90):
        some = [label for label in words if rng.random() < 0.4] or ["cardiology"]
        text = " ".join(rng.choice(words[label].split()) for label in some for _ in range(6))
        rows.append((f"Study {k}", f"{text} in {k} patients", "|".join(some)))
    return rows


def table(rows: list[tuple[str, ...]], separator: str = ",") -> str:
    made = io.StringIO()
    csv.writer(made, delimiter=separator).writerows([("title", "abstract", "medical_domains"), *rows])
    return made.getvalue()


@pytest.fixture(scope="module")
def dataset(client: httpx.Client) -> int:
    answer = client.post("/api/datasets/", files={"file": ("papers.csv", table(papers()))}, data={"name": "papers"})
    assert answer.status_code == 200, answer.text
    return answer.json()["id"]


def trained(client: httpx.Client, body: dict[str, Any]) -> int:
    """Create a model and train it to its end."""
    made = client.post("/api/models/", json=body)
    assert made.status_code == 200, made.text
    number = made.json()["id"]
    begun = client.post(f"/api/models/{number}/train/", json={"validation_split": 0.3})
    assert begun.status_code == 200 and begun.json()["status"] in ("pending", "running"), begun.text
    assert client.post(f"/api/models/{number}/train/", json={}).status_code == 409
    wait_for(lambda: client.get(f"/api/models/{number}/train/").json()["status"] not in ("pending", "running"), 120)
    assert client.get(f"/api/models/{number}/training-job").json()["status"] == "completed"
    return number


@pytest.fixture(scope="module")
def model(client: httpx.Client, dataset: int) -> int:
    return trained(client, {"name": "words", "model_type": "traditional", "dataset_id": dataset})


# datasets

def test_a_dataset_tells_what_was_found_in_it(client: httpx.Client):
    rows = [*papers()[:30], papers()[0], ("no text", "", "cardiology"), ("no label", "a text about nothing", "")]
    answer = client.post("/api/datasets/", files={"file": ("p.csv", table(rows, ";"))}, data={"name": "with faults"})
    told = answer.json()
    assert answer.status_code == 200 and told["total_samples"] == 30 and told["is_validated"]
    assert told["medical_domains"] == ["cardiology", "neurology", "oncology"]
    assert sum(told["domain_distribution"].values()) == sum(len(row[2].split("|")) for row in papers()[:30])
    notes = " ".join(told["notes"])
    assert "Line 32 was left out: the same as line 2." in notes and "Line 33" in notes and "Line 34" in notes
    assert client.get(f"/api/datasets/{told['id']}").json() == told
    assert client.delete(f"/api/datasets/{told['id']}").json()["success"]
    assert client.get(f"/api/datasets/{told['id']}").status_code == 404


def test_a_dataset_is_made_first_and_filled_later(client: httpx.Client, app: RunningApp):
    made = client.post("/api/datasets", json={"name": "later", "description": "of a test"}).json()
    assert made["total_samples"] == 0 and not made["is_validated"]
    path = f"/api/datasets/{made['id']}/upload"
    records = json.dumps([{"title": t, "abstract": a, "labels": g.split("|")} for t, a, g in papers()[:40]])
    filled = client.post(path, files={"file": ("../../papers.json", records)})
    assert filled.status_code == 200 and filled.json()["dataset"]["total_samples"] == 40
    assert filled.json()["filename"] == "papers.json" and filled.json()["dataset"]["name"] == "later"
    assert sorted(one.name for one in (app.home / "datasets" / str(made["id"])).iterdir()) == ["dataset.json",
                                                                                               "rows.jsonl"]
    assert not [one for one in (app.home / "cache" / "page").glob("*") if one.is_file()]


@pytest.mark.parametrize(("number", "status"), [("0", 422), ("999", 404), ("x", 422)])
def test_a_file_for_no_dataset_is_not_left_behind(client: httpx.Client, app: RunningApp, number: str, status: int):
    answer = client.post(f"/api/datasets/{number}/upload", files={"file": ("p.csv", table(papers()))})
    assert answer.status_code == status
    wait_for(lambda: not [one for one in (app.home / "cache" / "page").glob("*") if one.is_file()])


def test_a_client_that_goes_away_while_it_sends_is_no_bug(client: httpx.Client, app: RunningApp):
    head = ("POST {} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {}\r\nContent-Length: 100000\r\n\r\n")
    before, port = len(app.said), int(app.url.rsplit(":", 1)[1])
    part = '--x\r\nContent-Disposition: form-data; name="file"; filename="x.csv"'
    for path in ("/api/datasets/", "/api/datasets/1/upload", "/medgemma", "/v1/chat/completions", "/answer"):
        kind = "multipart/form-data; boundary=x" if "datasets" in path else "application/json"
        with socket.create_connection(("127.0.0.1", port)) as one:
            one.sendall((head.format(path, kind) + part).encode())
    assert client.get("/health").status_code == 200
    assert client.get("/health").status_code == 200
    assert not [line for line in app.said[before:] if "Traceback" in line or "failed" in line]


def test_json_that_makes_a_dataset_is_short(client: httpx.Client):
    refused = client.post("/api/datasets/", content=b'{"name": "' + b"x" * 200_000 + b'"}')
    assert refused.status_code == 400 and "100,000 bytes" in refused.json()["detail"]


@pytest.mark.parametrize(("name", "content", "words"), [
    ("x.csv", "", "x.csv is empty"), ("x.csv", "a,b\n1,2\n", "x.csv has"), ("x.exe", "MZ", "ends in .exe"),
    ("x.json", "{", "x.json"), ("x.json", "[" * 100_000, "x.json"),
    ("x.csv", "abstract\nonly texts\n", "no labelled text"),
    ("x.xlsx", "PK\x03\x04broken", "x.xlsx"), ("", "a,b", "")])
def test_a_file_that_is_no_dataset_is_refused_by_name(client: httpx.Client, app: RunningApp, name: str, content: str,
                                                      words: str):
    before = client.get("/api/datasets/").json()
    answer = client.post("/api/datasets/", files={"file": (name, content)}, data={"name": "n"})
    assert answer.status_code in (400, 200 if not name else 400) and words in answer.text
    assert str(app.home) not in answer.text and "cache" not in answer.text
    if name:
        assert client.get("/api/datasets/").json() == before
    assert not [one for one in (app.home / "cache" / "page").glob("*") if one.is_file()]


# classifiers

def test_a_classifier_is_trained_and_scored_on_rows_it_did_not_see(client: httpx.Client, model: int, app: RunningApp):
    told = client.get(f"/api/models/{model}").json()
    assert told["status"] == "trained" and told["is_trained"] and told["dataset_name"] == "papers"
    assert told["validation_samples"] == 27 and told["accuracy"] > told["baseline"]["subset_accuracy"]
    low, high = told["accuracy_interval"]
    assert low <= told["accuracy"] <= high and set(told["domain_performance"]) == {"cardiology", "neurology",
                                                                                   "oncology"}
    job = client.get(f"/api/training-jobs/{model}").json()
    assert job["progress_percentage"] == 100 and job["completed_at"] > job["started_at"]
    run = app.home / "runs" / job["run"]
    assert (run / "classifier").is_dir() and (run / "result.json").is_file()
    assert client.post(f"/api/models/{model}/stop-training").status_code == 409


def test_a_text_is_classified(client: httpx.Client, model: int):
    body = {"title": "Stroke", "abstract": "seizure of the brain after stroke, cortex and nerve", "model_id": model}
    told = client.post("/api/classify/", json=body).json()
    assert told["predicted_domains"] == ["neurology"] and told["model_used"] == "words"
    assert told["confidence_scores"]["neurology"] > 0.5 > told["confidence_scores"]["oncology"]
    assert told["by"] == "linear model" and told["prediction_threshold"] is None
    every = client.post("/api/classify/", json={**body, "threshold": 0.0}).json()
    assert sorted(every["predicted_domains"]) == ["cardiology", "neurology", "oncology"]
    assert client.post("/api/classify/", json={**body, "threshold": 1.0}).json()["predicted_domains"] == []


def test_without_a_number_the_best_one_classifies_and_a_batch_keeps_its_order(client: httpx.Client, model: int):
    articles = [{"title": "", "abstract": text} for text in ("heart artery valve", "tumour cancer lymphoma", "")]
    told = client.post("/api/classify/batch", json={"articles": articles}).json()
    assert told["total_processed"] == 3 and told["model_used"] == "words"
    assert [one["predicted_domains"] for one in told["results"]] == [["cardiology"], ["oncology"], []]
    assert told["results"][2]["note"] == "There is no text to classify."


def test_the_language_model_chooses_from_labels_that_are_named(client: httpx.Client):
    body = {"abstract": "heart artery valve", "labels": ["Cardiology", "neurology"]}
    told = client.post("/api/classify/", json=body).json()
    assert told["by"] == "language model" and set(told["confidence_scores"]) == {"cardiology", "neurology"}
    assert told["model_id"] is None and told["model_used"].startswith("Galen demo")


def test_a_classifier_with_the_language_model(client: httpx.Client, dataset: int):
    number = trained(client, {"name": "both", "model_type": "hybrid", "dataset_id": dataset,
                              "parameters": {"fast_mode": True}})
    assert client.get(f"/api/models/{number}").json()["validation_samples"] == 20
    body = {"abstract": "tumour cancer lymphoma metastasis", "model_id": number}
    told = client.post("/api/classify/", json=body).json()
    assert told["by"] == "linear model + language model" and told["predicted_domains"] == ["oncology"]


# /medgemma, /answer, /model_info

def test_a_conversation_is_kept_and_goes_on(client: httpx.Client, app: RunningApp):
    body = {"conversation_id": "65a1-of a client", "model": "demo", "temperature": 0.0, "reason": 0, "verbosity": 0.01,
            "system_message": "Answer briefly.", "user_message": TEXT, "stream": False,
            "control": {"temperature": True, "reason": True, "verbosity": True, "system_message": True}}
    first = client.post("/medgemma", json=body).json()
    again = [{"type": "text", "text": "And the treatment?"}, {"type": "file", "content": "Iron was low.\nHb 8.",
                                                              "name": "labs.txt"}]
    second = client.post("/medgemma", json={**body, "user_message": again}).json()
    for told in (first, second):
        assert told["content"] and told["finish_reason"] in ("stop", "length")
        assert told["conversation_id"] == "65a1-of a client" and told["model"] == "Galen demo Q8_0"
        assert 0 < told["token_usage"]["output_tokens"] <= 82 and "no substitute for a doctor" in told["disclaimer"]
    assert second["token_usage"]["input_tokens"] > first["token_usage"]["input_tokens"] + first[
        "token_usage"]["output_tokens"]                                     # the first turn was read as well
    with sqlite3.connect(f"file:{app.home / 'history.sqlite'}?mode=ro", uri=True) as db:
        kept = [row[0] for row in db.execute("SELECT text FROM message ORDER BY id")]
    assert kept[-4:] == ["What is anaemia?", first["content"], "And the treatment?", second["content"]]


def test_a_stream_is_events_and_makes_the_same_answer(client: httpx.Client):
    body = {"temperature": 0, "verbosity": 0.01, "user_message": TEXT}
    whole = client.post("/medgemma", json={**body, "stream": False}).json()["content"]
    with client.stream("POST", "/medgemma", json=body) as answer:
        assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
        lines = [line for line in answer.iter_lines() if line]
    assert all(line.startswith("data: ") for line in lines) and lines[-1] == "data: [DONE]"
    events = [json.loads(line[6:]) for line in lines[:-1]]
    assert "".join(one.get("content", "") for one in events) == whole
    assert events[-1]["token_usage"]["output_tokens"] > 0 and events[-1]["conversation_id"]


def test_an_emergency_has_its_notice_first(client: httpx.Client):
    question = [{"type": "text", "text": "I have crushing chest pain and my left arm is numb"}]
    body = {"verbosity": 0.001, "user_message": question}
    lines = [line for line in client.post("/medgemma", json=body).text.splitlines() if line]
    assert "emergency" in json.loads(lines[0][6:])["notice"].lower()
    assert client.post("/medgemma", json={**body, "stream": False}).json()["notice"]


def test_a_client_that_goes_away_ends_its_answer(client: httpx.Client, app: RunningApp):
    def state() -> str:
        with sqlite3.connect(f"file:{app.home / 'history.sqlite'}?mode=ro", uri=True) as db:
            return db.execute("SELECT state FROM message ORDER BY id DESC LIMIT 1").fetchone()[0]

    for k in range(10):
        body = {"conversation_id": f"leaves {k}", "verbosity": 1, "user_message": TEXT, "temperature": 2}
        with app.slowed() as is_frozen:
            with client.stream("POST", "/medgemma", json=body) as answer:
                next(answer.iter_lines())
                is_frozen.set()
                time.sleep(0.5)                         # what was written before has arrived
                is_writing = state() == "writing"
            if is_writing:
                time.sleep(0.5)                         # it is known that nobody listens any more
        wait_for(lambda: state() != "writing")
        if is_writing and state() == "stopped":         # else it had ended, or did before anybody could know
            return
    pytest.fail("no answer was stopped")


FLAGS = [({"search": True}, "search"), ({"deep_research": True}, "deep_research"), ({"dan": True}, "dan"),
         ({"mcp": ["github"]}, "mcp"), ({"model": "gpt-5"}, "gpt-5"),
         ({"user_message": [{"type": "image", "content": PICTURE}, *TEXT]}, "reads text only"),
         ({"user_message": [{"type": "image", "content": "/uploads/x.png"}, *TEXT]}, "opens no path"),
         ({"user_message": [{"type": "image", "content": PICTURE[:-4] + "!"}, *TEXT]}, "base64"),
         ({"user_message": [{"type": "file", "content": "/etc/passwd"}, *TEXT]}, "opens no path"),
         ({"user_message": [{"type": "file", "content": "../../secrets.txt"}, *TEXT]}, "opens no path"),
         ({"user_message": [{"type": "url", "content": "http://evil.example/x"}, *TEXT]}, "opens no path"),
         ({"user_message": [{"type": "file", "content": "C:\\secrets.txt"}, *TEXT]}, "opens no path"),
         ({"user_message": [{"type": "text", "text": "  "}]}, "holds no text"),
         ({"user_message": [{"type": "text", "content": "x"}]}, "into the field text")]


@pytest.mark.parametrize(("change", "words"), FLAGS)
def test_what_can_not_be_done_here_is_refused_by_name(client: httpx.Client, change: dict[str, Any], words: str):
    for stream in (True, False):
        answer = client.post("/medgemma", json={"user_message": TEXT, "stream": stream, **change})
        assert answer.status_code == 400 and words in answer.json()["detail"], answer.text


def test_questions_are_answered(client: httpx.Client):
    decided = client.post("/answer", json={"question": "Is aspirin an NSAID?", "kind": "decision"}).json()
    assert decided["answer"] in ("yes", "no", "maybe") and sum(decided["probabilities"].values()) == pytest.approx(1)
    chosen = client.post("/answer", json={"question": "What prevents scurvy?", "options": ["Iron", "Vitamin C"]}).json()
    assert chosen["kind"] == "choice" and chosen["answer_text"] == ["Iron", "Vitamin C"]["AB".index(chosen["answer"])]
    named = client.post("/answer", json={"question": "?", "options": {"C": "x", "D": "y"}, "threshold": 1.0}).json()
    assert named["answer"] == "" and set(named["probabilities"]) == {"C", "D"}
    free = client.post("/answer", json={"question": "What is asthma?", "max_tokens": 5, "temperature": 0}).json()
    assert free["kind"] == "free" and free["answer"] and free["is_cut"] and free["probabilities"] is None
    assert len({one["fingerprint"] for one in (decided, chosen, free)}) == 1


def test_what_the_model_can_do_is_told(client: httpx.Client):
    told = client.get("/model_info").json()
    assert told["name"] == "demo" and "second" in told["models"] and told["capabilities"]["chat"]
    assert not told["capabilities"]["vision"] and told["ctx_tokens"] > 0 and "demonstration" in told["notice"]


# what is wrong

WRONG: list[tuple[str, str, Any, int]] = [
    ("POST", "/medgemma", {}, 422), ("POST", "/medgemma", {"user_message": []}, 422),
    ("POST", "/medgemma", {"user_message": TEXT, "temperature": 3}, 422),
    ("POST", "/medgemma", {"user_message": TEXT, "reason": 2}, 422),
    ("POST", "/medgemma", {"user_message": TEXT, "unknown": 1}, 422),
    ("POST", "/medgemma", {"user_message": "text"}, 422),
    ("POST", "/medgemma", {"user_message": [{"type": "audio", "content": "x"}]}, 422),
    ("POST", "/medgemma", [], 422), ("POST", "/medgemma", None, 422), ("GET", "/medgemma", None, 405),
    ("POST", "/answer", {"question": ""}, 422), ("POST", "/answer", {"question": "x", "kind": "choice"}, 400),
    ("POST", "/answer", {"question": "x", "options": ["a"]}, 422),
    ("POST", "/answer", {"question": "x", "options": ["a", "b"], "kind": "free"}, 400),
    ("POST", "/answer", {"question": "x", "options": ["a", "b"], "temperature": 1}, 400),
    ("POST", "/answer", {"question": "x", "threshold": 0.5}, 400),
    ("POST", "/answer", {"question": "x", "options": {"a": "1", "b": "2"}}, 422),
    ("POST", "/answer", {"question": "x " * 20_000, "kind": "decision"}, 400),
    ("POST", "/answer", {"question": "x", "model": "none"}, 400),
    ("POST", "/api/models/", {"name": "x", "model_type": "traditional", "dataset_id": 999}, 404),
    ("POST", "/api/models/", {"name": "x", "model_type": "bert", "dataset_id": 1}, 400),
    ("POST", "/api/models/", {"name": "x", "model_type": "gemma2-2b", "dataset_id": 1}, 400),
    ("POST", "/api/models/", {"name": "x", "model_type": "custom", "dataset_id": 1}, 400),
    ("POST", "/api/models/", {"name": "x", "model_type": "custom", "dataset_id": 1,
                              "parameters": {"model": "/etc/passwd"}}, 400),
    ("POST", "/api/models/", {"name": "x", "model_type": "traditional", "dataset_id": 1,
                              "parameters": {"epochs": 3}}, 400),
    ("POST", "/api/models/", {"name": "x", "model_type": "hybrid", "dataset_id": 1, "parameters": {"shots": -1}}, 400),
    ("POST", "/api/models/", {"name": "x", "model_type": "hybrid", "dataset_id": 1, "parameters": {"seed": "x"}}, 400),
    ("POST", "/api/models/", {"name": "x", "model_type": "hybrid", "dataset_id": 1,
                              "parameters": {"fast_mode": 1}}, 400),
    ("POST", "/api/models/", {"name": "", "model_type": "traditional", "dataset_id": 1}, 422),
    ("POST", "/api/models/", {"name": "x", "model_type": "magic", "dataset_id": 1}, 422),
    ("GET", "/api/models/999", None, 404), ("GET", "/api/models/0", None, 422), ("GET", "/api/models/x", None, 422),
    ("GET", "/api/models/999999999999999999999999", None, 422), ("GET", "/api/models/..%2f..%2fetc", None, 404),
    ("POST", "/api/models/999/train/", {}, 404), ("GET", "/api/models/999/training-job", None, 404),
    ("POST", "/api/models/1/train/", {"total_epochs": 0}, 422),
    ("POST", "/api/classify/", {"abstract": "x", "model_id": 999}, 404),
    ("POST", "/api/classify/", {"abstract": "x", "threshold": 2}, 422),
    ("POST", "/api/classify/", {"abstract": "x", "labels": ["a"]}, 422),
    ("POST", "/api/classify/", {"abstract": "x", "labels": ["a", "A "]}, 400),
    ("POST", "/api/classify/", {"abstract": "x", "labels": ["a|b", "c"]}, 400),
    ("POST", "/api/classify/", {"abstract": "x", "labels": ["a", "b"], "model_id": 1}, 400),
    ("POST", "/api/classify/batch", {"articles": []}, 422),
    ("POST", "/api/classify/batch", {"articles": [{"abstract": "x"}] * 1001}, 422),
    ("POST", "/api/classify/batch", {"articles": [{"abstract": "x", "model_id": 1}]}, 400),
    ("DELETE", "/api/datasets/999", None, 404), ("POST", "/api/datasets/999/upload", {}, 400),
    ("POST", "/api/datasets/", {"name": ""}, 400), ("POST", "/api/datasets/", [], 400),
    ("GET", "/api/nothing", None, 404), ("DELETE", "/api/classify/", None, 405), ("PUT", "/model_info", {}, 405)]


@pytest.mark.parametrize(("method", "path", "body", "status"), WRONG)
def test_what_is_wrong_is_told_in_a_sentence(client: httpx.Client, dataset: int, model: int, method: str, path: str,
                                             body: Any, status: int):
    if isinstance(body, dict) and body.get("dataset_id") == 1:
        body = {**body, "dataset_id": dataset}
    answer = client.request(method, path, json=body)
    assert answer.status_code == status, answer.text
    told = answer.json()["detail"]
    assert isinstance(told, str) and 10 < len(told) < 1000 and "Traceback" not in told


@pytest.mark.parametrize("body", [
    b"", b"{", b"null", b"\xff\xfe\x00", b'{"question": NaN}', b'{"question": 1e999}', b'{"question": "\\ud800"}',
    b'{"a":' * 20_000, b"[" * 100_000, b'{"question": "x\\u0000y"}'])
def test_bodies_that_are_no_request_are_no_bug(client: httpx.Client, body: bytes):
    for path in ("/answer", "/medgemma", "/api/classify/", "/api/classify/batch", "/api/models/", "/api/datasets/"):
        answer = client.post(path, content=body, headers={"Content-Type": "application/json"})
        assert answer.status_code in (200, 400, 422), (path, answer.text)


# the document

def test_the_document_is_valid_and_names_every_endpoint(client: httpx.Client):
    told = client.get("/openapi.json").json()
    validate(told)
    for path, method in (("/medgemma", "post"), ("/api/models/", "post"), ("/api/models/{model_id}/train/", "post"),
                         ("/api/models/{model_id}/train/", "get"), ("/api/datasets/", "post"), ("/answer", "post"),
                         ("/api/classify/", "post"), ("/api/classify/batch", "post"), ("/health", "get"),
                         ("/model_info", "get"), ("/v1/chat/completions", "post"), ("/v1/models", "get")):
        assert method in told["paths"][path], path


def test_its_page_loads_nothing(client: httpx.Client):
    page = client.get("/docs")
    assert page.status_code == 200 and "default-src 'self'" in page.headers["content-security-policy"]
    assert "<script" not in page.text and "http-equiv" not in page.text
    assert [part.split('"')[0] for part in page.text.split('href="')[1:]] == ["/icon.svg", "/openapi.json", "/"]
    assert "src=" not in page.text and "url(" not in page.text and "/medgemma" in page.text


def test_health(app: RunningApp):
    assert app.health() == {"status": "ok", "model": "Galen demo Q8_0", "pid": app.process.pid}
