"""What the Settings page does, beyond the space of the folder: settings applied, passphrase, switches, housekeeping."""

import logging
from typing import Any

from models.errors import UserError
from ui.actions import backup, relocate, space
from ui.api import token
from ui.chore import Progress
from ui.workbench import Workbench

log = logging.getLogger("galen.settings")
AGAIN = "Stop Galen (to close the page is not enough), and start it again"
LOADING = ("ctx_tokens", "threads", "device", "gpu_layers", "idle_minutes")     # of a model: it is loaded anew


def change(bench: Workbench, **values: Any) -> str:
    """Keep and apply settings; returns what to tell the person. Raises UserError for a value that does not fit."""
    bench.touch()
    before = bench.settings.value
    after = bench.settings.change(**values)
    changed = [name for name in values if getattr(before, name) != getattr(after, name)]
    log.info("settings changed: %s", ", ".join(changed) or "none")
    if not any(name in LOADING for name in changed):
        return "Kept." if changed else "Nothing was changed."
    try:
        bench.model.reload()
    except UserError as error:                  # it is in use: kept all the same
        return f"Kept. {error}"
    return "Kept; the model is loaded anew with it."


def set_offline(bench: Workbench, is_offline: bool) -> str:
    """Turn the offline switch; returns what to tell the person."""
    bench.outside.switch(is_offline)
    log.info("offline switched %s", "on" if is_offline else "off")
    return ("Offline: connections to other computers are refused." if is_offline else
            "Online: downloads and uploads that you ask for can reach the network.")


def set_passphrase(bench: Workbench, old: str, new: str, again: str) -> str:
    """Set, change or (new "") remove the passphrase; returns what to tell. Raises UserError if they do not fit."""
    if new != again:
        raise UserError("The two new passphrases are not the same; type them again.")
    if not new and not bench.history.is_encrypted:
        raise UserError("There is no passphrase; type the one that you want twice.")
    bench.chat.stop_all()
    bench.history.set_passphrase(old, new)
    log.info("the passphrase was %s", "set" if new else "removed")
    if not new:
        return "The passphrase is removed; the conversations lie on the disk as plain text again."
    told = ("The conversations are encrypted now. There is no way to read them without the passphrase, so keep it "
            "where you find it again.")
    if old or not (backup.listed(bench.home) or space.tree_bytes(bench.home / space.REPLACED)):
        return told
    return f"{told} Backups that were made before can be read by everybody; delete them under Folder."


def unlock(bench: Workbench, passphrase: str) -> None:
    """Open the conversations. Raises UserError for a wrong passphrase, slower each time."""
    bench.history.unlock(passphrase)
    bench.touch()


def start_private(bench: Workbench) -> None:
    """From now on nothing of the conversations is kept on the disk."""
    bench.history.start_private()


def end_private(bench: Workbench) -> None:
    """Forget what was said meanwhile; the conversations on the disk are there again."""
    bench.chat.stop_all()
    bench.summaries.forget()
    bench.labellings.forget()
    bench.history.end_private()


def new_token(bench: Workbench) -> str:
    """A new token for the API, to be shown once; the one before it is of no use any more."""
    return token.make(bench.settings)


def back_up(bench: Workbench, with_models: bool, with_checkpoints: bool) -> None:
    """Begin to write a backup. Raises UserError while a job runs."""
    space.refuse_while_running(bench.jobs, "back up the folder")

    def work(progress: Progress) -> str:
        made = backup.write(bench.home, bench.history, progress, with_models=with_models,
                            with_checkpoints=with_checkpoints)
        return f"The backup {made.name} is written and read back."

    bench.chore.start("The backup", work)


def restore(bench: Workbench, name: str) -> None:
    """Begin to check a backup, which the next start then puts in place. Raises UserError while a job runs."""
    space.refuse_while_running(bench.jobs, "restore a backup")
    archive = backup.find(bench.home, name)

    def work(progress: Progress) -> str:
        count = backup.check(bench.home, archive, progress)
        return f"All {count:,} files of {name} are whole. {AGAIN}: then they take their place."

    bench.chore.start("The restoring", work)


def delete_backup(bench: Workbench, name: str) -> int:
    """Delete a backup; returns the bytes freed."""
    archive = backup.find(bench.home, name)
    freed = archive.stat().st_size
    archive.unlink()
    return freed


def move(bench: Workbench, place: str) -> None:
    """Begin to copy the folder to one of the offered places. Raises UserError while a job runs."""
    space.refuse_while_running(bench.jobs, "move the folder")
    to = relocate.find(bench.home, place)

    def work(progress: Progress) -> str:
        relocate.copy(bench.home, bench.history, to, progress)
        return f"Everything is copied to {to} and read back. {AGAIN}: then it works from there."

    bench.chore.start("The move", work)


def forget_waiting(bench: Workbench) -> None:
    """Neither restore nor move at the next start."""
    backup.forget(bench.home)
    relocate.forget(bench.home)


def waiting(bench: Workbench) -> str:
    """What the next start will do, one sentence; "" for nothing."""
    if backup.waiting(bench.home):
        return f"A checked backup waits. {AGAIN}: then it takes its place."
    to = relocate.waits_for(bench.home)
    if to is None:
        return ""
    if not to.parent.is_dir():
        return f"The move to {to} waits until that disk is connected and Galen is started again."
    return f"The move to {to} waits. {AGAIN}: then it works from there."


def require_token(bench: Workbench, is_needed: bool) -> str:
    """Ask for the token on this computer too, or no more. Raises UserError if there is none yet."""
    if is_needed and not bench.settings.value.token:
        raise UserError("There is no token yet; make one first and keep it, or nobody could get in.")
    return change(bench, needs_token=is_needed)


def clear(bench: Workbench, act: str, key: str) -> str:
    """One of the buttons about the folder; returns what to tell the person."""
    state = bench.model.state
    freeing = {
        "checkpoints": lambda: space.delete_checkpoints(bench.home, bench.jobs),
        "replaced": lambda: space.delete_replaced(bench.home),
        "old": lambda: relocate.delete_old(bench.home),
        "run": lambda: space.delete_runs(bench.jobs, [key], state.chosen),
        "delete": lambda: delete_backup(bench, key)}
    if act in freeing:
        return f"{freeing[act]() / 1e6:,.1f} MB freed."
    if act == "restore":
        restore(bench, key)
        return "Checking the backup."
    if act == "cancel":
        bench.chore.cancel()
        return "Cancelling."
    if act == "forget":
        forget_waiting(bench)
        return "Forgotten; everything stays as it is."
    raise UserError("The page is older than this Galen; reload it.")
