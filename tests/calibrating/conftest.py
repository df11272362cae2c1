"""Takes in the sound server's fixtures."""

from __future__ import annotations

import importlib.util
from pathlib import Path

_spec = importlib.util.spec_from_file_location("fixtures_sound", Path(__file__).parents[1] / "fixtures_sound.py")
assert _spec
assert _spec.loader
_module = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_module)
sound_server, sound_env = _module.sound_server, _module.sound_env
