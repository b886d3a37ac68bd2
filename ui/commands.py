"""The command line: each command reads its words, calls one action, shows the result."""

import argparse
import contextlib
import errno
import json
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

if __name__ == "__main__" and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)        # Ctrl-C during these imports ends it without a traceback
from models import library, online, runs, token
from models.errors import UserError
from tasks.visible import visible
from ui import terminal
from ui.arguments import build_parser

os.environ.setdefault("HF_HUB_OFFLINE", "1")    # decided before any hub library is imported
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ.setdefault("HF_HUB_DISABLE_XET", "1")
os.environ.setdefault("DO_NOT_TRACK", "1")
OF_THE_SYSTEM = {errno.EROFS, errno.EACCES, errno.EPERM, errno.ENAMETOOLONG, errno.EIO}     # errors that are no bugs


def main(words: Sequence[str] | None = None) -> int:
    """Run one command. Returns the exit status: 0 done, 2 the user can fix it, 130 interrupted."""
    terminal.open_streams()
    online.settle()
    try:
        if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        status = _run(words)
        sys.stdout.flush()
        return status
    except UserError as error:
        return _ended(str(error), 2)
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_DFL)        # once more ends it at once, without a traceback
        return _ended("Stopped.", 130)
    except BrokenPipeError:                 # `| head -1` has seen enough
        terminal.close_output()
        return 0
    except OSError as error:
        if error.errno not in OF_THE_SYSTEM and not runs.is_disk_full(error):
            raise
        terminal.close_output()
        return _ended(f"{error.filename or 'The output'} can not be written or read ({error.strerror}).", 2)


def _run(words: Sequence[str] | None) -> int:
    try:
        options = build_parser().parse_args(words)
    except SystemExit as ended:         # argparse has printed a help
        return int(ended.code or 0)
    return COMMANDS[options.command or "start"](options) or 0


def _ended(words: str, status: int) -> int:
    """Say on one line why a command ended; returns status."""
    line = token.hidden(visible(" ".join(words.split())))
    with contextlib.suppress(OSError):      # nobody can be told
        print(f"\n{line}" if status == 130 and sys.stderr.isatty() else line, file=sys.stderr, flush=True)
    return status


def start(options: argparse.Namespace) -> int:
    """Start the app and open the browser, or a window of its own."""
    from ui import shortcut
    shortcut.write(runs.ROOT)
    return _serve(options, "window" if options.window else "" if options.no_browser else "browser")


def serve(options: argparse.Namespace) -> int:
    """Serve page and API without a browser."""
    return _serve(options, "")


def _serve(options: argparse.Namespace, opens: Literal["", "browser", "window"]) -> int:
    from runtime.session import Session
    from ui import app
    app.serve(Session(), options.host, options.port or None, opens, is_token_new=options.new_token,
              is_debug=options.debug)
    return 0


def run_train(options: argparse.Namespace) -> int:
    """Train in a child process and follow it; or show what it would learn from, or what it would take."""
    from train import ranks
    from ui.actions import train
    if ranks.rank():                    # under accelerate launch; the first process has the folder and the terminal
        return 0 if options.preview or options.estimate else ranks.join()
    if options.resume:
        from ui.actions import moved
        moved.settle(runs.home())
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
    from ui import jobs
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


def run_task(options: argparse.Namespace) -> int:
    """Do a task over a file in a child process and follow it; a run that was interrupted goes on."""
    from ui import jobs
    from ui.actions import batch
    if options.resume:
        folder, process, seen = batch.resume(options.resume, options.out)
    else:
        folder, process, seen = batch.start(_task(options), options.at)
    again = f"python launcher.py {options.command} --resume {_quoted(folder)}"
    try:
        _follow(folder, process, f"Run folder: {folder}", seen)
    except jobs.Interrupted as error:
        raise UserError(f"{error} It goes on where it was with: {again}") from error
    if not (folder / runs.RESULT).exists():
        print(f"The rows that are done are kept. It goes on with: {again}", file=sys.stderr)
        return 130
    result = {"run": str(folder), **runs.read_json(folder / runs.RESULT)}
    print(json.dumps(result) if options.json else "\n".join(terminal.task_lines(result)))
    return 0


def _task(options: argparse.Namespace) -> Any:
    """The config of the task that is asked for."""
    from ui.actions import answer, classify, summarise
    from ui.actions.batch import Wishes
    wishes = Wishes(file=options.file, out=options.out, model=options.model, columns=options.map,
                    assignments=options.set)
    if options.command == "classify":
        return classify.config_of(wishes, labels=options.labels, single=options.single, train=options.train,
                                  classifier=options.classifier, fast=options.fast)
    if options.command == "summarise":
        return summarise.config_of(wishes, header=options.header, sections=options.sections,
                                   max_tokens=options.max_tokens)
    return answer.config_of(wishes, kind=options.kind, by=options.by, threshold=options.threshold,
                            calibration=options.calibration, max_tokens=options.max_tokens)


def run_evaluate(options: argparse.Namespace) -> int:
    """Score a model on a benchmark in a child process and follow it; without a benchmark, list them."""
    from ui import jobs
    from ui.actions import evaluate
    if not options.benchmark:
        found = evaluate.benchmarks()
        print(json.dumps(found) if options.json else "\n".join(terminal.benchmark_lines(found)))
        return 0
    names = ("model", "against", "limit", "fast", "file", "split", "dev", "guard", "seed")
    config = evaluate.config_of(options.benchmark, {name: getattr(options, name) for name in names}, options.set)
    folder, process, seen = evaluate.start(config, options.out)
    again = f"--out {_quoted(folder)}"
    try:
        _follow(folder, process, f"Run folder: {folder}", seen)
    except jobs.Interrupted as error:
        raise UserError(f"{error} It goes on where it was with the same command and {again}") from error
    if not (folder / runs.REPORT).exists():
        print(f"The items that are done are kept. It goes on with the same command and {again}", file=sys.stderr)
        return 130
    report = runs.read_json(folder / runs.REPORT)
    print(json.dumps({"run": str(folder), **report}) if options.json else
          "\n".join([*report["sentences"], f"The items, and the report as a page, are in {folder}"]))
    return 0


def run_chat(options: argparse.Namespace) -> int:
    """Chat in the terminal, or answer one prompt."""
    from ui import talk
    values = {name: getattr(options, name) for name in ("temperature", "max_tokens", "seed")
              if getattr(options, name) is not None}
    return talk.talk(library.find_model(options.model), options.prompt, options.system,
                     {"ctx_tokens": options.context}, values, options.preset)


def run_demo(options: argparse.Namespace) -> int:
    """The demonstration, with a table at the end."""
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


def run_models(options: argparse.Namespace) -> int:
    """List models, fetch one, add a file, delete one."""
    from ui import model_commands
    return model_commands.run(options)


def run_token(options: argparse.Namespace) -> int:
    """The token of the hub."""
    from ui import token_commands
    return token_commands.run(options)


def run_doctor(options: argparse.Namespace) -> int:
    """Look at this computer, and say what was found and what to do; status 2 if something is to be mended."""
    from ui import token_view
    from ui.doctor import bundle, checkup
    to, report, failure, made = options.bundle and bundle.place(options.bundle), "", None, []
    for finding in checkup.findings(options.network):
        made.append(finding)
        for line in [] if options.json else checkup.lines(finding):
            print(token_view.printable(line, sys.stdout), flush=True)
    if to:
        try:
            report = str(bundle.write(to, made))
        except UserError as error:          # what was found is told all the same
            failure = error
    print(json.dumps({**checkup.as_json(made), "report": report}) if options.json else checkup.verdict(made))
    if report and not options.json:
        print(f"The report is {report}. It holds no texts and no names; look through it before you give it away.")
    if failure:
        raise failure
    return checkup.status(made)


def run_kit(options: argparse.Namespace) -> int:
    """Gather what sets Galen up on another machine without a network."""
    from ui.actions import kit
    made = kit.make(kit.KitConfig(out=options.out, has_training=options.training, llama_wheel=options.llama_wheel,
                                  models=tuple(name for name in options.models.split(",") if name)))
    print(kit.told(made))
    return 0


def _quoted(path: Path) -> str:
    """path as a shell of this system takes it for one word."""
    return terminal.quoted(str(path))


def _follow(folder: Path, process: Any, first: str = "", seen: int = 0) -> None:
    """Show first and a job's events from byte `seen` on. Ctrl-C once asks the job to stop; it ends within a step."""
    from ui import jobs
    progress = terminal.Progress()
    try:
        if first:
            progress.line(first)
        progress.follow(jobs.follow(folder, process, seen))
    except KeyboardInterrupt:
        progress.line("Stopping ...")
        jobs.stop(folder)
        progress.follow(event for event in jobs.follow(folder, process, seen) if event["kind"] in jobs.FINAL)


COMMANDS: dict[str, Callable[[argparse.Namespace], int]] = {
    "start": start, "serve": serve, "train": run_train, "export": run_export, "chat": run_chat, "demo": run_demo,
    "classify": run_task, "summarise": run_task, "answer": run_task, "evaluate": run_evaluate, "models": run_models,
    "token": run_token, "doctor": run_doctor, "kit": run_kit}


if __name__ == "__main__":
    raise SystemExit(main())
