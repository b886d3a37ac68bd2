"""A notice on the person's desktop when a run is done; nothing where there is no desktop."""

import os
import shutil
import subprocess
import sys

WAIT_S = 10.0
TOAST = """
$null = [Windows.UI.Notifications.ToastNotificationManager, Windows.UI.Notifications, ContentType = WindowsRuntime]
$toast = [Windows.UI.Notifications.ToastNotificationManager]::GetTemplateContent('ToastText02')
$texts = $toast.GetElementsByTagName('text')
$null = $texts.Item(0).AppendChild($toast.CreateTextNode($env:GALEN_TITLE))
$null = $texts.Item(1).AppendChild($toast.CreateTextNode($env:GALEN_TEXT))
$shown = [Windows.UI.Notifications.ToastNotificationManager]::CreateToastNotifier('Galen')
$shown.Show([Windows.UI.Notifications.ToastNotification]::new($toast))
"""
SCRIPT = ["-e", "on run texts", "-e", "display notification (item 2 of texts) with title (item 1 of texts)",
          "-e", "end run"]


def command(title: str, text: str, system: str = sys.platform) -> list[str]:
    """The program that shows a notice on this system with its arguments; empty where there is none."""
    if system == "win32":
        return ["powershell", "-NoProfile", "-NonInteractive", "-Command", TOAST] if shutil.which("powershell") else []
    if system == "darwin":
        return ["osascript", *SCRIPT, title, text] if shutil.which("osascript") else []
    return ["notify-send", "--app-name=Galen", "--", title, text] if shutil.which("notify-send") else []


def show(title: str, text: str) -> bool:
    """Show a notice; False where the system shows none. Never an error: the run is what counts."""
    program = command(title, text)
    if not program:
        return False
    try:
        return subprocess.run(program, env={**os.environ, "GALEN_TITLE": title, "GALEN_TEXT": text}, check=False,
                              stdin=subprocess.DEVNULL, capture_output=True, timeout=WAIT_S).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False                # no desktop to show it on
