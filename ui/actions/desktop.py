"""A folder shown in this computer's own file manager."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from models.errors import UserError


def open_folder(path: Path) -> None:
    """Open a folder of ours on the desktop. Raises UserError naming it where there is no desktop to open it on."""
    if not path.is_dir():
        raise UserError(f"There is no folder {path} yet.")
    if sys.platform == "win32":
        os.startfile(path)
        return
    opener = shutil.which("open" if sys.platform == "darwin" else "xdg-open")
    has_desktop = sys.platform == "darwin" or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    if not opener or not has_desktop:
        raise UserError(f"There is no desktop here to show a folder on; it is {path}.")
    subprocess.Popen([opener, str(path)], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                     stderr=subprocess.DEVNULL, start_new_session=True)
