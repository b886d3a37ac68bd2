"""The model card and the picture of the loss curve, written from measured.json and curve.csv."""

import csv
import json
from pathlib import Path

from models.demo import rows

LICENCES = {"MedQuAD": "CC BY 4.0", "PubMedQA": "MIT", "MTS-Dialog": "CC BY 4.0", "ACI-BENCH": "CC BY 4.0"}
CONTENTS = {
    "MedQuAD": "questions and answers from pages of the US National Institutes of Health",
    "PubMedQA": "yes/no/maybe questions on abstracts, the 500 labelled for development",
    "MTS-Dialog": "short doctor-patient dialogues and the note sections written from them, training part",
    "ACI-BENCH": "long doctor-patient dialogues and the notes written from them, training part",
}

ANSWER_STAGES = ("turns", "brief", "last")


def write_card(out: Path, text: str) -> None:
    """README.md: the given text (card.md) with the figures of measured.json in its places."""
    figures = json.loads((out / "measured.json").read_text(encoding="utf-8"))
    held, asked, training = figures["held_out_text"], figures["held_out_questions"], figures["training"]
    card = text.format(
        parameters=f"{figures['parameters'] / 1e6:.1f} million", corpus=corpus_table(figures["corpus"]),
        left_out=sum(source["rows_left_out"] for source in figures["corpus"].values()),
        results=result_table(held), held=held, asked=asked, stop_percent=f"{100 * asked['stop_share']:.1f}%",
        mbytes=f"{sum(source['training']['bytes'] for source in figures['corpus'].values()) / 1e6:.1f} MB",
        threads=training["threads_at_most"], bar=verdict(figures), text_share=f"{rows.TEXT_ROWS:.0%}",
        sentences=rows.ANSWER_SENTENCES, answer_tokens=rows.ANSWER_TOKENS,
        text_tokens=f"{training['text']['tokens'] / 1e6:.1f} million",
        turns_tokens=f"{sum(training[stage]['tokens'] for stage in ANSWER_STAGES) / 1e6:.1f} million",
        text_minutes=f"{training['text']['seconds'] / 60:.0f}",
        turns_minutes=f"{sum(training[stage]['seconds'] for stage in ANSWER_STAGES) / 60:.0f}",
        versions=", ".join(f"{name} {version}" for name, version in figures["versions"].items()))
    (out / "README.md").write_text(card, encoding="utf-8")


def verdict(figures: dict) -> str:
    share = f"{figures['bar']['stop_share_wanted']:.0%}"
    wanted = f"the model beats both 5-gram models, and at least {share} of its answers end by themselves"
    result = "met" if figures["bar"]["is_met"] else "NOT met"
    return f"The bar we set ({wanted}) is {result}."


def corpus_table(corpus: dict) -> str:
    lines = ["| source | what | licence | rows used | documents: training | held out |", "|---|---|---|---|---|---|"]
    for name, source in corpus.items():
        sides = f"{source['training']['documents']} | {source['held_out']['documents']}"
        lines.append(f"| {name} | {CONTENTS[name]} | {LICENCES[name]} | {source['rows']} | {sides} |")
    return "\n".join(lines)


def result_table(held: dict) -> str:
    names = {"model": "this model", "token_5gram": "5-gram over the same tokens", "byte_5gram": "5-gram over bytes"}
    lines = ["| held-out running text | nats per byte | nats per token |", "|---|---|---|"]
    for name, label in names.items():
        per_token = f"{held[name]['nats_per_token']:.3f}" if "nats_per_token" in held[name] else "-"
        lines.append(f"| {label} | {held[name]['nats_per_byte']:.3f} | {per_token} |")
    return "\n".join(lines)


def draw_curve(out: Path) -> None:
    """curve.png: held-out loss over all stages and the training loss of each."""
    import matplotlib
    matplotlib.use("Agg")
    from matplotlib import pyplot

    with (out / "curve.csv").open(encoding="utf-8", newline="") as file:
        lines = list(csv.DictReader(file))
    figure, axes = pyplot.subplots(figsize=(7, 4), dpi=110, layout="constrained")
    offset = 0.0
    points: dict[float, float] = {}  # tokens seen (millions): held-out loss
    stages = (("text", "#7aa6c2", "training, running text"), ("turns", "#c98b5a", "training, answers"),
              ("brief", "#a0522d", "training, brief answers"), ("last", "#6b3a1e", "training, the last stage"))
    for stage, colour, label in stages:
        own = [line for line in lines if line["stage"] == stage]
        tokens = [offset + int(line["tokens"]) / 1e6 for line in own]
        axes.plot(tokens, [float(line["train_loss_nats_per_token"]) for line in own], color=colour, label=label)
        points |= dict(zip(tokens, (float(line["held_out_loss_nats_per_token"]) for line in own), strict=True))
        offset = tokens[-1]
    axes.plot(points.keys(), points.values(), color="#22313f", linewidth=2, label="held-out running text")
    held_out = json.loads((out / "measured.json").read_text(encoding="utf-8"))["held_out_text"]
    axes.axhline(held_out["token_5gram"]["nats_per_token"], color="#888888", linestyle=":", label="token 5-gram")
    axes.set(xlabel="tokens seen (millions)", ylabel="loss (nats per token)")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    figure.savefig(out / "curve.png", metadata={"Software": None})
    pyplot.close(figure)
