"""The command line: each command reads its words, calls one action, shows the result."""

import argparse
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from convert.config import EXPORT_KINDS
from models import library, runs
from models.errors import UserError

os.environ.setdefault("HF_HUB_OFFLINE", "1")    # decided before any hub library is imported
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ.setdefault("HF_HUB_DISABLE_XET", "1")
os.environ.setdefault("DO_NOT_TRACK", "1")


class Parser(argparse.ArgumentParser):
    """argparse with one clear line instead of a usage block."""

    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message} (see `python launcher.py {self.prog.partition(' ')[2]} --help`)"
                        .replace(" --help", "--help" if not self.prog.partition(" ")[2] else " --help"))


def main(words: Sequence[str] | None = None) -> int:
    """Run one command. Returns the exit status: 0 done, 2 the user can fix it, 130 interrupted."""
    try:
        options = build_parser().parse_args(words)
        return options.run(options) or 0
    except UserError as error:
        print(" ".join(str(error).split()), file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def build_parser() -> argparse.ArgumentParser:
    parser = Parser(prog="launcher.py", description="Galen, a medical-LLM workbench for your own computer.")
    parser.set_defaults(run=start, host="127.0.0.1", port=0)
    commands = parser.add_subparsers(metavar="COMMAND", parser_class=Parser)

    one = commands.add_parser("start", help="start the app and open the browser (the same as no command)")
    one.add_argument("--port", type=int, default=0)
    one.add_argument("--no-browser", action="store_true", help="do not open the browser")
    one.set_defaults(run=start)

    one = commands.add_parser("serve", help="the page and the API without opening a browser")
    one.add_argument("--host", default="127.0.0.1")
    one.add_argument("--port", type=int, default=0, help="default: the first free one from 7860 up")
    one.set_defaults(run=serve)

    _add_train(commands)
    _add_export(commands)
    one = commands.add_parser("chat", help="talk to a model in the terminal")
    one.add_argument("model", metavar="MODEL", help="a listed model, a GGUF, a run folder, or \"demo\"")
    one.add_argument("-p", "--prompt", default="", help="ask once and end")
    one.add_argument("--system", default="", help="a system prompt")
    one.add_argument("--context", type=int, default=0, metavar="TOKENS",
                     help="the longest conversation; longer ones take more memory (default: chosen)")
    one.add_argument("--temperature", type=float, default=None)
    one.add_argument("--max-tokens", type=int, default=None)
    one.add_argument("--seed", type=int, default=None)
    one.set_defaults(run=run_chat)

    one = commands.add_parser("demo", help="the main job on the embedded model, start to end")
    one.add_argument("--json", action="store_true", help="print the result as one JSON object")
    one.set_defaults(run=run_demo)

    one = commands.add_parser("models", help="the models that are here")
    one.add_argument("--json", action="store_true")
    one.set_defaults(run=list_models)
    return parser


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
    one.set_defaults(run=run_train)


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
    one.set_defaults(run=run_export)


def start(options: argparse.Namespace) -> int:
    """Start the app and open the browser."""
    from runtime.session import Session
    from ui import app
    app.serve(Session(), options.host, options.port or None, open_browser=not getattr(options, "no_browser", False))
    return 0


def serve(options: argparse.Namespace) -> int:
    """Serve page and API without a browser."""
    from runtime.session import Session
    from ui import app
    app.serve(Session(), options.host, options.port or None)
    return 0


def run_train(options: argparse.Namespace) -> int:
    """Train in a child process and follow it; or show what it would learn from, or what it would take."""
    from train import ranks
    from ui.actions import train
    if ranks.rank():                    # under accelerate launch; the first process has the folder and the terminal
        return 0 if options.preview or options.estimate else ranks.join()
    if options.resume:
        folder, process, seen = train.resume(_resumed(options))
        return _trained(folder, process, seen, options.json)
    config = train.train_config(_recipe(options), train.Wishes(
        base=options.base, data=options.data, evaluation=options.eval, guard=options.guard, columns=options.map,
        layout=options.layout, assignments=options.set))
    what = "preview" if options.preview else "estimate" if options.estimate else "run"
    folder, process = train.start(config, options.at, what)
    if what == "run":
        return _trained(folder, process, 0, options.json)
    return (_previewed if options.preview else _estimated)(folder, process, options.json)


def _resumed(options: argparse.Namespace) -> str:
    """The folder that --resume names. Raises UserError for other wishes: an interrupted run goes on as it was."""
    given = {"a recipe": options.recipe, "--base": options.base, "--data": options.data, "--eval": options.eval,
             "--layout": options.layout, "--map": options.map, "--set": options.set, "--run": options.at}
    said = [name for name, value in given.items() if value]
    if said:
        raise UserError(f"--resume goes on with a run as it was set up, so it can not be given with {said[0]}; "
                        "leave that out, or start a new run.")
    return options.resume


def _recipe(options: argparse.Namespace) -> str:
    from train.config import recipe_names
    if not options.recipe:
        raise UserError(f"Name a recipe; there are {', '.join(recipe_names())}.")
    return options.recipe


def _trained(folder: Path, process: Any, seen: int, is_json: bool) -> int:
    """Follow a training to its end; promise against fact, and what comes next."""
    from ui import jobs, terminal
    try:
        _follow(folder, process, f"Run folder: {folder}", seen)
    except jobs.Interrupted as error:
        raise UserError(f"{error} It goes on from its last checkpoint with: python launcher.py train --resume "
                        f"{_quoted(folder)}; if the memory ran out, start anew with a smaller batch or max_len."
                        ) from error
    finally:
        terminal.ring(runs.read_json(folder / runs.CONFIG)["notify"])
    result = runs.read_json(folder / runs.RESULT)
    has_adapter = (folder / runs.ADAPTER).is_dir()
    promise = runs.read_json(folder / runs.ESTIMATE) if (folder / runs.ESTIMATE).is_file() else None
    if is_json:
        print(json.dumps({"run": str(folder), **result, "promise": promise}))
        return 0 if has_adapter else 130
    for line in terminal.kept_lines(promise, result) if promise else []:
        print(line)
    if has_adapter:
        print(f"The adapter is in {folder / runs.ADAPTER}. "
              f"Next: python launcher.py export {_quoted(folder)} --type Q8_0")
    else:
        print("Nothing had been learned yet, so there is no adapter.", file=sys.stderr)
    return 0 if has_adapter else 130


def _previewed(folder: Path, process: Any, is_json: bool) -> int:
    """Follow a preview and print it; status 130 if it was stopped."""
    from ui import token_view
    _follow(folder, process)
    if not (folder / runs.PREVIEW).is_file():
        return 130
    preview, page = runs.read_json(folder / runs.PREVIEW_DATA), str(folder / runs.PREVIEW)
    if is_json:
        print(json.dumps({**preview, "page": page}))
        return 0
    for line in token_view.lines(preview, token_view.is_coloured(sys.stdout)):
        print(token_view.printable(line, sys.stdout))
    print(f"The same as a page: {page}")
    return 0


def _estimated(folder: Path, process: Any, is_json: bool) -> int:
    """Follow an estimate and print the promise; status 130 if it was stopped."""
    from ui import terminal
    _follow(folder, process)
    if not (folder / runs.ESTIMATE).is_file():
        return 130
    promise = runs.read_json(folder / runs.ESTIMATE)
    if is_json:
        print(json.dumps({"run": str(folder), **promise}))
        return 0
    for line in terminal.promise_lines(promise):
        print(line)
    print(f"To start exactly this run: python launcher.py train --resume {_quoted(folder)}")
    return 0


def run_export(options: argparse.Namespace) -> int:
    """Export in a child process and follow it."""
    from ui.actions import export
    names = ("name", "ollama", "push", "public", "allow_identifiers", "compare", "importance", "force")
    config = export.export_config(options.source, options.type.split(","), base=options.base, out=options.out,
                                  settings={name: getattr(options, name) for name in names})
    folder, process = export.start(config)
    try:
        _follow(folder, process)
    except UserError:
        if options.json and (folder / runs.RESULT).exists():        # a red file has a report, too
            print(json.dumps(_reported(folder)))
        raise
    if not (folder / runs.RESULT).exists():
        print("No file was written.", file=sys.stderr)
        return 130
    report = _reported(folder)
    if options.json:
        print(json.dumps(report))
    else:
        out = Path(report["folder"])
        for file in report["files"]:
            print(f"{out / file['name']}  {file['bytes'] / 1e6:,.1f} MB  {file['status']}")
        print(f"All of it, with the model card, report and checksums, is in {out}")
    return 0


def _reported(job: Path) -> dict[str, Any]:
    """The report on what that export made, without the files that were there before."""
    result = runs.read_json(job / runs.RESULT)
    path = Path(result["folder"]) / runs.REPORT
    report = runs.read_json(path) if path.is_file() else {"files": []}
    report["files"] = [file for file in report["files"] if file["name"] in result["files"]]
    return {"folder": result["folder"], **report}


def run_chat(options: argparse.Namespace) -> int:
    """Chat in the terminal, or answer one prompt."""
    from ui import talk
    values = {name: getattr(options, name) for name in ("temperature", "max_tokens", "seed")
              if getattr(options, name) is not None}
    return talk.talk(library.find_model(options.model), options.prompt, options.system,
                     {"ctx_tokens": options.context}, values)


def run_demo(options: argparse.Namespace) -> int:
    """The demonstration, with a table at the end."""
    from ui import terminal
    from ui.actions import demo
    progress = terminal.Progress()
    try:
        result = demo.run(progress.follow, progress.line)
    except KeyboardInterrupt:
        progress.line("Stopped, as asked.")
        return 130
    if options.json:
        print(json.dumps(demo.as_json(result)))
    else:
        print(terminal.demo_table(demo.as_json(result)))
    return 0


def list_models(options: argparse.Namespace) -> int:
    """Print what can be chatted with."""
    models = library.chat_models()
    if options.json:
        print(json.dumps([{"name": m.name, "title": m.title, "path": str(m.path), "notice": m.notice}
                          for m in models]))
    for model in [] if options.json else models:
        print(f"{model.name}\t{model.title}\t{model.path}")
    return 0


def _quoted(path: Path) -> str:
    """path as a shell of this system takes it for one word."""
    return subprocess.list2cmdline([str(path)]) if sys.platform == "win32" else shlex.quote(str(path))


def _follow(folder: Path, process: Any, first: str = "", seen: int = 0) -> None:
    """Show first and a job's events from byte `seen` on. Ctrl-C once asks the job to stop; it ends within a step."""
    from ui import jobs, terminal
    progress = terminal.Progress()
    try:
        if first:
            progress.line(first)
        progress.follow(jobs.follow(folder, process, seen))
    except KeyboardInterrupt:
        progress.line("Stopping ...")
        jobs.stop(folder)
        progress.follow(event for event in jobs.follow(folder, process, seen) if event["kind"] in jobs.FINAL)


if __name__ == "__main__":
    raise SystemExit(main())
