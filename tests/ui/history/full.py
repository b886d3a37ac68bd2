"""A passphrase set where the disk is too small for a second file: `python -m tests.ui.history.full FOLDER`."""

import random
import sys
from pathlib import Path

from models.errors import UserError
from ui.history import File, History

folder = Path(sys.argv[1])
history = History(folder)
for _ in range(6):
    history.ask("0" * 16, "look", files=(File(name="a", kind="picture", data=random.Random(1).randbytes(500_000)),))
    history._disk.fold()
try:
    history.set_passphrase("", "new")
except UserError as error:
    print(str(error).split(". ")[1])
print("encrypted" if history.is_encrypted else "plain")
print(len(history.conversations("look")))
print(list(folder.glob("*.part")))
