"""The thirty prebuilt voices of the Live API, and the one word the service's guide gives to each.

    check_voice("puck")          # "Puck"
    check_voice("Pucks")         # ConfigError: live.voice = "Pucks": there is no such voice; did you mean Puck?
    VOICES["Puck"]               # "upbeat"

The words describe, they promise nothing; how a voice sounds in a language is best heard. Pure.

Source: the guide to language and voice of the Live API on the Agent Platform; the names are the same everywhere.
"""

from __future__ import annotations

import difflib

from edge_agent.errors import ConfigError

VOICES: dict[str, str] = {
    "Zephyr": "bright",
    "Puck": "upbeat",
    "Charon": "informative",
    "Kore": "firm",
    "Fenrir": "excitable",
    "Leda": "youthful",
    "Orus": "firm",
    "Aoede": "breezy",
    "Callirrhoe": "easy-going",
    "Autonoe": "bright",
    "Enceladus": "breathy",
    "Iapetus": "clear",
    "Umbriel": "easy-going",
    "Algieba": "smooth",
    "Despina": "smooth",
    "Erinome": "clear",
    "Algenib": "gravelly",
    "Rasalgethi": "informative",
    "Laomedeia": "upbeat",
    "Achernar": "soft",
    "Alnilam": "firm",
    "Schedar": "even",
    "Gacrux": "mature",
    "Pulcherrima": "forward",
    "Achird": "friendly",
    "Zubenelgenubi": "casual",
    "Vindemiatrix": "gentle",
    "Sadachbia": "lively",
    "Sadaltager": "knowledgeable",
    "Sulafat": "warm",
}
"""Name of the voice -> its word."""


def check_voice(name: str) -> str:
    """Return the voice's name as the service spells it.

    Raises:
        ConfigError: there is no such voice; the sentence names the nearest ones.
    """
    by_lower = {voice.lower(): voice for voice in VOICES}
    wanted = name.strip().lower()
    if wanted in by_lower:
        return by_lower[wanted]
    near = [by_lower[close] for close in difflib.get_close_matches(wanted, by_lower, n=3, cutoff=0.5)]
    hint = f"did you mean {' or '.join(near)}?" if near else "the voices are " + ", ".join(sorted(VOICES))
    raise ConfigError(f'live.voice = "{name[:40]}": there is no such voice; {hint}')
