"""The layout of PubMedQA: a question, an abstract in parts, yes / no / maybe and the reason for it."""

from typing import Any

from corpus.layouts.layout import GROUP_ID, Field, Layout, Row, RowError
from corpus.layouts.question import context_text
from tasks import answer


def _build(row: Row, _: Any) -> dict[str, Any]:
    decision = row["final_decision"].casefold().strip(" .")
    if decision not in answer.DECISIONS:
        raise RowError(f"final_decision is {row['final_decision'][:40]!r}, not yes, no or maybe")
    context = context_text(row["contexts"], row["labels"])
    user = answer.decision_question(row["question"], context)
    reply = answer.decided(decision, row["long_answer"])
    return {"messages": ({"role": "user", "content": user}, {"role": "assistant", "content": reply}),
            "input": context, "label": decision, "group": row["group_id"]}


PUBMEDQA = Layout(name="PubMedQA", target="final_decision", build=_build, fields=(
    Field(name="question"),
    Field(name="contexts", names=("context", "abstract"), is_text=False),
    Field(name="final_decision", names=("decision",)),
    Field(name="long_answer", names=("reason", "explanation", "rationale"), is_needed=False, is_ordered=True),
    Field(name="labels", names=("context_labels",), is_needed=False, is_text=False), GROUP_ID))
