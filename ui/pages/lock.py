"""The lock screen that every page shows while the conversations are locked, and the button that locks them."""

from dataclasses import dataclass
from typing import Any

import gradio as gr

from ui.actions import settings as actions
from ui.errors import shown
from ui.workbench import Workbench

LOCKED, PRIVATE, OPEN = "locked", "private", "open"
BANNER = ('<p role="status">Leave-no-trace session: nothing of what is written now is kept. '
          '<a href="/settings">End it in Settings</a></p>')
# what a page shows belongs to one of these states: it begins anew in another one
ON_CHANGE = """(state) => {
    if (window.lockState && window.lockState !== state) window.location.reload();
    window.lockState = state;
}"""
WIDE: dict[str, Any] = dict(show_progress="hidden", queue=False, api_visibility="private")


@dataclass(frozen=True)
class Lock:
    """The parts of the frame that the lock has: the button in the header, the state, the banner, the screen."""
    button: gr.Button
    state: gr.Textbox
    banner: gr.HTML
    screen: gr.Column
    passphrase: gr.Textbox
    unlock: gr.Button

    @property
    def outputs(self) -> list[Any]:
        """What drawn() shows."""
        return [self.state, self.screen, self.banner, self.button]


def state_of(bench: Workbench) -> str:
    """Which of the states it is now."""
    if bench.history.is_locked:
        return LOCKED
    return PRIVATE if bench.history.is_private else OPEN


def build_button() -> gr.Button:
    """For the header."""
    return gr.Button("Lock", elem_id="lock-button", size="sm", visible=False)


def build_lock(button: gr.Button) -> Lock:
    """Lay banner and screen; over what is built after it in the frame."""
    banner = gr.HTML(elem_id="private", visible=False, apply_default_css=False)
    with gr.Column(elem_id="lock", visible=False) as screen:
        gr.HTML("<h1>Locked</h1><p>The conversations are encrypted. Type the passphrase to open them.</p>")
        passphrase = gr.Textbox(label="Passphrase", type="password", max_lines=1, elem_id="passphrase")
        unlock = gr.Button("Unlock", variant="primary", elem_id="unlock")
    return Lock(button=button, state=gr.Textbox(visible="hidden", label="lock"), banner=banner, screen=screen,
                passphrase=passphrase, unlock=unlock)


def drawn(bench: Workbench, lock: Lock) -> dict[Any, Any]:
    """What shows the state as it is now."""
    state = state_of(bench)
    return {lock.state: state, lock.screen: gr.Column(visible=state == LOCKED),
            lock.banner: gr.HTML(BANNER, visible=state == PRIVATE),
            lock.button: gr.Button(visible=bench.history.is_encrypted and state != LOCKED)}


def wire(bench: Workbench, lock: Lock) -> None:
    """Locking, unlocking, and a page that begins anew when the state changes."""
    @shown
    def on_unlock(typed: str) -> str:
        actions.unlock(bench, typed or "")
        return ""

    again = dict(js="() => window.location.reload()")
    opened = gr.on([lock.unlock.click, lock.passphrase.submit], on_unlock, lock.passphrase, lock.passphrase,
                   show_progress="minimal", api_visibility="private")
    opened.success(None, **again)
    lock.button.click(shown(bench.lock), None, None, **WIDE).success(None, **again)
    lock.state.change(None, lock.state, None, js=ON_CHANGE)
