"""The words of the command line: every command with its arguments; what they do is in ui/commands.py."""

import argparse
from typing import Any, NoReturn

from convert.config import EXPORT_KINDS
from models.errors import UserError
from models.token import hidden


class Parser(argparse.ArgumentParser):
    """argparse with one clear line instead of a usage block."""

    def error(self, message: str) -> NoReturn:
        raise UserError(f"{hidden(message)} (see `python launcher.py {self.prog.partition(' ')[2]} --help`)"
                        .replace(" --help", "--help" if not self.prog.partition(" ")[2] else " --help"))


def build_parser() -> argparse.ArgumentParser:
    """The parser; options.command is the command's name, None for none."""
    parser = Parser(prog="launcher.py", description="Galen, a medical-LLM workbench for your own computer.")
    parser.set_defaults(host="127.0.0.1", port=0, no_browser=False, new_token=False, debug=False)
    window = "the page in a window of its own, the closing of which ends Galen (once no job runs any more)"
    parser.add_argument("--window", action="store_true", help=window)
    commands = parser.add_subparsers(metavar="COMMAND", parser_class=Parser, dest="command")

    one = commands.add_parser("start", help="start the app and open the browser (the same as no command)")
    _add_server(one)
    how = one.add_mutually_exclusive_group()
    how.add_argument("--no-browser", action="store_true", help="do not open the browser")
    how.add_argument("--window", action="store_true", default=argparse.SUPPRESS, help=window)
    _add_server(commands.add_parser("serve", help="the page and the API without opening a browser"))

    _add_train(commands)
    _add_export(commands)
    _add_tasks(commands)
    _add_evaluate(commands)
    one = commands.add_parser("chat", help="talk to a model in the terminal")
    one.add_argument("model", metavar="MODEL", help="a listed model, a GGUF, a run folder, or \"demo\"")
    one.add_argument("-p", "--prompt", default="", help="ask once and end")
    one.add_argument("--preset", default="", metavar="NAME", help="a ready set-up: a system prompt and how it answers")
    one.add_argument("--system", default="", help="a system prompt")
    one.add_argument("--context", type=int, default=0, metavar="TOKENS",
                     help="the longest conversation; longer ones take more memory (default: chosen)")
    one.add_argument("--temperature", type=float, default=None)
    one.add_argument("--max-tokens", type=int, default=None)
    one.add_argument("--seed", type=int, default=None)

    one = commands.add_parser("demo", help="the main job on the embedded model, start to end")
    one.add_argument("--json", action="store_true", help="print the result as one JSON object")

    _add_models(commands)
    _add_token(commands)
    _add_doctor(commands)
    _add_kit(commands)
    return parser


def _add_models(commands: Any) -> None:
    one = commands.add_parser("models", help="the models that are here; fetch, add or delete one")
    one.set_defaults(json=False, available=False)
    one.add_argument("--json", action="store_true", help="print the list as JSON")
    whats = one.add_subparsers(metavar="list|pull|add|rm", parser_class=Parser, dest="what")
    each = {name: whats.add_parser(name, help=words) for name, words in {
        "list": "what is here", "pull": "fetch a model of the catalog, or of any repository of the hub",
        "add": "put a GGUF file into the models folder", "rm": "delete a model's files"}.items()}
    for part in each.values():
        part.add_argument("--json", action="store_true", default=argparse.SUPPRESS,
                          help="print the result as one JSON object")
    each["list"].add_argument("--available", action="store_true", default=argparse.SUPPRESS,
                              help="what the catalog offers, and what of it fits this machine; asks nobody")
    each["pull"].add_argument("id", metavar="ID[:TYPE]",
                              help="as medgemma-1.5-4b-it:Q4_K_M, or OWNER/NAME:TYPE; without a type the largest one "
                                   "that fits this machine. The same again goes on with one that was paused")
    each["pull"].add_argument("--base", action="store_true", help="the original model folder, for training")
    each["add"].add_argument("file", metavar="FILE", help="a GGUF")
    each["rm"].add_argument("name", metavar="NAME", help="as `models list` names it")


def _add_doctor(commands: Any) -> None:
    one = commands.add_parser("doctor", help="what this computer can do, and what keeps Galen from doing it")
    one.add_argument("--network", action="store_true",
                     help="ask the hub and pip's package index for an answer, too; without it nothing is asked")
    one.add_argument("--json", action="store_true", help="print the findings as one JSON object")
    one.add_argument("--bundle", default="", metavar="FILE",
                     help="also write a report for us to this zip file: findings, versions, ends of logs, no texts, "
                          "names or paths")


def _add_token(commands: Any) -> None:
    one = commands.add_parser("token", help="the Hugging Face token that some models need: keep, test or forget it")
    one.add_argument("words", nargs="*", help=argparse.SUPPRESS)
    one.add_argument("--model", default="", metavar="ID",
                     help="the gated model that it is tested with: an entry of the catalog, or OWNER/NAME")
    what = one.add_mutually_exclusive_group()
    what.add_argument("--status", action="store_true", help="say where a token was found; asks nobody")
    what.add_argument("--test", action="store_true", help="ask the hub about the token that is there")
    what.add_argument("--forget", action="store_true", help="delete the stored token")
    what.add_argument("--no-test", action="store_true", help="keep the token without asking the hub about it")
    one.add_argument("--no-browser", action="store_true", help="do not open the hub's pages in the browser")
    one.add_argument("--json", action="store_true", help="print the result as one JSON object")


def _add_server(one: Any) -> None:
    one.add_argument("--host", default="127.0.0.1",
                     help="an address of this machine, or 0.0.0.0 for all: other computers can then reach page and "
                          "API, which ask for a token (default: this computer only)")
    one.add_argument("--port", type=int, default=0, help="default: the first free one from 7860 up")
    one.add_argument("--new-token", action="store_true", help="make another token; the one before it ends")
    one.add_argument("--debug", action="store_true", help="more in the log files")


def _add_kit(commands: Any) -> None:
    one = commands.add_parser("kit", help="one folder that sets Galen up on a machine like this one without a network")
    one.add_argument("--out", default="", metavar="DIR", help="the folder to make (default: beside Galen's own)")
    one.add_argument("--models", default="", metavar="NAME,...", help="models to put in: listed ones, or files")
    one.add_argument("--training", action="store_true", help="with what training, export and evaluation need")
    one.add_argument("--llama-wheel", default="", metavar="FILE",
                     help="llama-cpp-python compiled before (default: compiled here once, for processors of others)")


def _add_train(commands: Any) -> None:
    one = commands.add_parser("train", help="teach a base model a task (LoRA)")
    one.add_argument("recipe", nargs="?", default="", metavar="RECIPE", help="a ready recipe, or a .toml file")
    one.add_argument("--base", default="", help="a Hugging Face folder, or \"demo\" (the embedded model)")
    one.add_argument("--data", nargs="+", action="extend", default=[], metavar="F",
                     help="tables of examples: files, folders, or hf:OWNER/NAME; STAGE=F for one stage of the recipe")
    one.add_argument("--eval", nargs="+", action="extend", default=[], metavar="F",
                     help="validation tables (STAGE=F as well)")
    one.add_argument("--guard", nargs="+", action="extend", default=[], metavar="F",
                     help="further tables for tests: no row of them is trained on (STAGE=F as well)")
    one.add_argument("--layout", default="", help="the layout of the tables, when it is not recognised")
    one.add_argument("--map", nargs="+", action="extend", default=[], metavar="FIELD=COLUMN",
                     help="which column holds a field of the layout, as question=Frage")
    one.add_argument("--set", action="append", default=[], metavar="KEY=VALUE",
                     help="any setting of the recipe (STAGE.KEY=VALUE for one stage)")
    one.add_argument("--run", dest="at", default="", metavar="DIR", help="where the run folder is made")
    what = one.add_mutually_exclusive_group()
    what.add_argument("--preview", action="store_true",
                      help="show what the model would learn from, token by token; nothing is trained")
    what.add_argument("--estimate", action="store_true",
                      help="run a few steps, and say how long the whole run takes, in how much memory and disk")
    what.add_argument("--resume", default="", metavar="DIR", help="go on with an interrupted run, as it was set up")
    one.add_argument("--json", action="store_true", help="print the result as one JSON object")


def _add_export(commands: Any) -> None:
    one = commands.add_parser("export", help="adapter, run or model folder -> checked GGUFs")
    one.add_argument("source", nargs="+", metavar="SOURCE",
                     help="a run, an adapter or a model folder; then further adapters, in order. With --push also "
                          "the folder of an earlier export, which is uploaded as it is; nothing else may be asked "
                          "of it then")
    one.add_argument("--type", default="Q8_0", metavar="T,T",
                     help=f"one or more of {', '.join(EXPORT_KINDS)} (default Q8_0)")
    one.add_argument("--base", default="", help="the base model folder, when the adapter does not say it")
    one.add_argument("--out", default="", metavar="DIR")
    one.add_argument("--name", default="", help="begins the file names (default: the source folder's name)")
    one.add_argument("--ollama", default="", metavar="NAME", help="create this model in a running Ollama")
    one.add_argument("--push", default="", metavar="OWNER/NAME", help="upload the folder to the hub, private")
    one.add_argument("--public", action="store_true", help="with --push: for everybody to see")
    one.add_argument("--allow-identifiers", action="store_true",
                     help="with --push: also texts that look like personal data")
    one.add_argument("--no-compare", dest="compare", action="store_false",
                     help="check the files' structure only, without loading the model they come from; without it "
                          "there is no importance matrix either")
    one.add_argument("--no-importance", dest="importance", action="store_false",
                     help="no importance matrix from the run's held-out rows")
    one.add_argument("--force", action="store_true", help="publish a file that failed its check, marked")
    one.add_argument("--json", action="store_true", help="print the report as one JSON object")


TASKS = {
    "classify": ("labels for the texts of a file, with how sure they are",
                 "a table with a column of texts (abstract, text, ...), and if there is one a title and right labels"),
    "summarise": ("sections of notes for the consultations of a file, with what the dialogue does not hold marked",
                  "a table with a column of dialogues, and if there is one the section's header"),
    "answer": ("answers to the questions of a file: letters, yes / no / maybe, or free",
               "a table with a column of questions, and if there are some options or a context"),
}


def _add_tasks(commands: Any) -> None:
    for name, (what, table) in TASKS.items():
        one = commands.add_parser(name, help=what)
        one.add_argument("--in", dest="file", default="", metavar="FILE",
                         help=f"{table}: CSV, TSV, XLSX, JSON, JSONL or Parquet")
        one.add_argument("--out", default="", metavar="FILE",
                         help="the same rows with the results behind them; its ending says which kind of table "
                              "(default: beside the file that is read)")
        one.add_argument("--model", default="demo", help="a listed model, a GGUF, a run, an adapter or a model folder")
        one.add_argument("--map", nargs="+", action="extend", default=[], metavar="FIELD=COLUMN",
                         help="which column holds what, as abstract=Text")
        {"classify": _add_classify, "summarise": _add_summarise, "answer": _add_answer}[name](one)
        one.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="any other setting")
        one.add_argument("--run", dest="at", default="", metavar="DIR", help="where the run folder is made")
        one.add_argument("--resume", default="", metavar="DIR",
                         help="go on with an interrupted run (the same command, given again, does that as well)")
        one.add_argument("--json", action="store_true", help="print the result as one JSON object")


def _add_classify(one: Any) -> None:
    one.add_argument("--labels", default="", metavar="A,B,C",
                     help="what to choose from, or a table of labels and what is meant by each (default: what the "
                          "model was tuned on, else the file's own labels)")
    one.add_argument("--single", action="store_true", help="each text has exactly one label")
    one.add_argument("--train", default="", metavar="FILE", help="labelled rows to learn from first")
    one.add_argument("--classifier", default="", metavar="DIR", help="a classifier that was fitted and saved before")
    one.add_argument("--fast", action="store_true",
                     help="words alone (TF-IDF and a linear model), without the language model; with --train or "
                          "--classifier")


def _add_summarise(one: Any) -> None:
    one.add_argument("--header", default="", help="the section to write (default: the row's own, else the likeliest)")
    one.add_argument("--sections", default="", metavar="A,B,C", help="a whole note of these sections")
    one.add_argument("--max-tokens", type=int, default=None)


def _add_answer(one: Any) -> None:
    one.add_argument("--kind", default="auto", metavar="KIND",
                     help="choice, decision (yes / no / maybe), free, or auto: as the file looks")
    one.add_argument("--by", default="letters", metavar="WHAT", help="of options: letters or texts")
    one.add_argument("--threshold", type=float, default=None, metavar="P", help="no answer below this probability")
    one.add_argument("--calibration", default="", metavar="FILE", help="a calibration fitted on development rows")
    one.add_argument("--max-tokens", type=int, default=None, help="of a free answer")


def _add_evaluate(commands: Any) -> None:
    one = commands.add_parser("evaluate", help="score a model on a benchmark, or two models on the same items")
    one.add_argument("benchmark", nargs="?", default="", metavar="BENCHMARK",
                     help="its name; without one, all are listed")
    one.add_argument("--model", default="demo", metavar="A",
                     help="a listed model, a GGUF, a run, an adapter or a model folder")
    one.add_argument("--against", default="", metavar="B", help="a second model, compared with the first item by item")
    one.add_argument("--limit", type=int, default=None, metavar="N", help="so many items, drawn at random")
    one.add_argument("--fast", action="store_true", help="a sample of 100 items")
    one.add_argument("--file", default="", metavar="F",
                     help="the benchmark as a file or folder here, or hf:OWNER/NAME (default: its own)")
    one.add_argument("--split", default="", help="the split of the source (default: the benchmark's)")
    one.add_argument("--dev", default="", metavar="F", help="development rows that probabilities are calibrated on")
    one.add_argument("--guard", default="", metavar="RUN",
                     help="a run or its training files, whose rows mark the items they overlap (default: the run that "
                          "the model comes from)")
    one.add_argument("--seed", type=int, default=None)
    one.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="any other setting")
    one.add_argument("--out", default="", metavar="DIR",
                     help="where report and items are written; given again, an unfinished evaluation goes on there")
    one.add_argument("--json", action="store_true", help="print the report as one JSON object")
