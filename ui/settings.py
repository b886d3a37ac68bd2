"""What the person set for this Galen: one file in the folder of models and runs, written whole."""

import threading
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from models import knobs, runs
from runtime.config import LoadConfig

FILE = "settings.json"


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Every knob of the Settings page, once. token: SHA-256 of the API's token, "" = none was made."""

    theme: str = field(default="system", metadata=dict(label="Theme", choices=("system", "light", "dark")))
    is_offline: bool = field(default=True, metadata=dict(label="Offline: no connection outside this computer"))
    keep_awake: bool = field(default=True, metadata=dict(label="Keep the machine awake while a job runs"))
    idle_minutes: float = field(default=0.0, metadata=dict(
        label="Unload the model when idle for", unit="minutes (0: never)", min=0.0, max=1e6))
    lock_minutes: float = field(default=0.0, metadata=dict(
        label="Lock the conversations when idle for", unit="minutes (0: never)", min=0.0, max=1e6))
    ctx_tokens: int = field(default=0, metadata=dict(
        label="Context", unit="tokens of one conversation (0: chosen)", min=0, max=1 << 20))
    threads: int = field(default=0, metadata=dict(label="Threads", unit="(0: chosen)", min=0, max=512))
    device: str = field(default="", metadata=dict(label="Device", unit="(empty: chosen; cpu: no GPU; or its name)"))
    gpu_layers: int = field(default=-1, metadata=dict(
        label="Layers on the GPU", unit="(-1: all that fit)", min=-1, max=1000))
    token: str = field(default="", metadata=dict(label="Token of the API, hashed"))
    needs_token: bool = field(default=False, metadata=dict(label="Ask for the token on this computer too"))

    def __post_init__(self) -> None:
        knobs.check(self)

    def load_config(self) -> LoadConfig:
        """How a model is loaded under these settings."""
        return LoadConfig(ctx_tokens=self.ctx_tokens, threads=self.threads, device=self.device,
                          gpu_layers=self.gpu_layers, idle_minutes=self.idle_minutes)


class SettingsFile:
    """The settings of one folder, read once and written at each change. May be used from several threads."""

    def __init__(self, home: Path):
        """Raises UserError if the file is damaged, or holds what is no setting."""
        self._path = home / FILE
        self._lock = threading.Lock()
        self._value = knobs.from_json(Settings, runs.read_json(self._path)) if self._path.is_file() else Settings()

    @property
    def value(self) -> Settings:
        """The settings as they are now."""
        return self._value

    def change(self, **values: Any) -> Settings:
        """Set some of them, on disk first. Raises UserError for a value that does not fit; then nothing changes."""
        with self._lock:
            changed = replace(self._value, **values)
            runs.write_json(self._path, knobs.to_json(changed))
            self._value = changed
            return changed
