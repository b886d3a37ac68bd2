"""What does an importance matrix bring? Loss of quantized files made with one and without, on held-out rows.

    .venv/bin/python bench/imatrix.py                                   the embedded model on MTS-Dialog
    .venv/bin/python bench/imatrix.py --base FOLDER --rows FILE.csv     another model, other rows (any known layout)
    .venv/bin/python bench/imatrix.py --types Q4_K_M Q2_K --rounds 1

Each round takes other rows: 8,000 tokens for the matrix, 2,000 others for the loss (mean KL divergence from the
reference in float32). Prints a table, then one JSON object. Two minutes for the embedded model.
"""

import argparse
import json
import statistics
import sys
import tempfile
from contextlib import closing
from pathlib import Path

if __name__ == "__main__":                      # else bench/ hides packages of the same names
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from convert.imatrix import importance, write_imatrix
from convert.loss import compare
from convert.model import MergedModel
from convert.probes import Messages
from convert.stream import write_all
from convert.survey import Survey
from corpus.layouts import load
from models import runs
from models.errors import UserError
from models.library import find_base
from runtime.config import LoadConfig
from runtime.probe import Probe
from runtime.reference import Reference

TYPES = ("Q4_K_M", "IQ4_XS", "Q3_K_M", "Q2_K")
DIALOGUES = [runs.ROOT.parent / "shared" / "data" / "mts-dialog" / name for name in ("validation.csv", "test1.csv")]
CTX_TOKENS = 1100                               # a row has at most 1,024

Figures = dict[str, dict[bool, list[float]]]    # type -> with a matrix? -> loss, one a round


def quiet(text: str, done: int, of: int) -> None:
    """No progress shown."""


def measured(reference: Reference, model: MergedModel, rows: list[Messages], folder: Path, losses: Figures) -> Survey:
    """Add one round to losses."""
    survey = Survey.take(reference, rows, quiet, wants_sums=True)
    if survey.sums is None or not survey.is_apart:
        raise UserError("There are too few rows for a matrix that has not seen the compared ones; give more.")
    matrix = importance(survey.sums, model)
    write_imatrix(folder / "imatrix.gguf", survey.sums, model, "rows")
    for has_matrix in (False, True):
        targets = {kind: folder / f"{kind}.gguf" for kind in losses}
        write_all(model, targets, dict.fromkeys(losses, matrix) if has_matrix else {})
        for kind, path in targets.items():
            with closing(Probe(path, LoadConfig(ctx_tokens=CTX_TOKENS, exact=True))) as probe:
                losses[kind][has_matrix].append(compare(probe, survey, reference, lambda done, of: None).mean_kl)
            path.unlink()
    return survey


def summary(losses: Figures) -> dict[str, dict[str, object]]:
    """For each type the mean of both, and by how much the loss changed, in all and in each round."""
    found: dict[str, dict[str, object]] = {}
    for kind, both in losses.items():
        without, matrix = statistics.mean(both[False]), statistics.mean(both[True])
        found[kind] = {"without": round(without, 5), "with": round(matrix, 5), "change": round(matrix / without - 1, 3),
                       "change_by_round": [round(b / a - 1, 3) for a, b in zip(both[False], both[True], strict=True)]}
        print(f"{kind:8} without {without:.5f}  with {matrix:.5f}  {matrix / without - 1:+.1%}")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", default="demo", help="a Hugging Face folder")
    parser.add_argument("--rows", nargs="*", default=[str(path) for path in DIALOGUES])
    parser.add_argument("--types", nargs="*", default=TYPES)
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    base = find_base(asked.base)
    rows = [list(example.messages) for example in load(asked.rows).examples]
    reference, model = Reference(base), MergedModel(base, [], "x")
    losses: Figures = {kind: {False: [], True: []} for kind in asked.types}
    with tempfile.TemporaryDirectory() as folder:
        for k in range(asked.rounds):
            start = k * len(rows) // asked.rounds
            survey = measured(reference, model, rows[start:] + rows[:start], Path(folder), losses)
    print(json.dumps({"base": base.name, "rows": len(rows), "rounds": asked.rounds,
                      "compared_tokens": sum(map(len, survey.rows)), "importance_tokens": survey.importance_tokens,
                      "types": summary(losses)}))


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(str(error))
