"""What the demo's twin answers: it understands the visitor's phrases, knows the shipped pictures, and tells a story.

    mind = Mind(subjects=still_subjects(), ear=Ear())
    twin = SyncTwin(mind.script(), key=KEY)
    mind.expect("story")                 # what the visitor says next; the answer only where speech is not understood
    mind.heard[-1].phrase                # what was understood, from the sound that arrived

With pocketsphinx the phrase is recognised from the sound that came over the wire. Without it the twin follows the plan,
and the demo says so. A picture is recognised by its bytes: the twin cannot see, it knows the shipped stills by heart.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import hashlib
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from edge_agent.demo.speech import UTTERANCES
from edge_agent.simulator import Hear, Say, Script, Step, Turn

STILLS = Path(__file__).parent / "stills"

STORY = (
    "Once there was a lighthouse keeper who counted the ships every night. One night he counted one too many, "
    "and went out to see. It was the moon, lying on the water, and she had only come to say good evening. "
    "From then on he kept a place for her in his book, between the mail boat and the fishermen."
)
UNKNOWN = "I did not understand that."


class Hearing(Protocol):
    """What turns 16 kHz sound into a phrase; `edge_agent.simulator.voice.Ear` does."""

    def hear(self, pcm: bytes) -> str:
        """Return the phrase, empty where it is none that is known."""
        ...


@dataclass(frozen=True, slots=True)
class HeardTurn:
    """A spoken turn as it arrived at the twin."""

    session: int
    expected: str  # name of the utterance that was spoken
    phrase: str  # what was understood; empty without an ear
    audio: bytes  # 16 kHz s16le mono
    subjects: tuple[str, ...]  # of the pictures that came with it
    earlier: int  # contributions to the conversation before this turn
    answer: str  # what was said back


def still_subjects(folder: Path = STILLS) -> dict[str, str]:
    """Return SHA-256 of each shipped picture -> what it shows, which its file name says."""
    subjects = {}
    for path in sorted(folder.glob("*.jpg")):
        words = path.stem.split("-")[1:]
        article = "" if words[-1].endswith("s") else "a "
        subjects[hashlib.sha256(path.read_bytes()).hexdigest()] = article + " ".join(words)
    return subjects


class Mind:
    """The twin's side of the demo."""

    def __init__(
        self,
        *,
        subjects: Mapping[str, str],
        ear: Hearing | None,
        now: Callable[[], dt.datetime] = lambda: dt.datetime.now().astimezone(),
    ) -> None:
        self.heard: list[HeardTurn] = []
        self._subjects = subjects
        self._ear = ear
        self._now = now
        self._expected = ""

    @property
    def understands(self) -> bool:
        """True when speech is really recognised."""
        return self._ear is not None

    def expect(self, name: str) -> None:
        """Tell which utterance the visitor says next."""
        self._expected = name

    def script(self) -> Script:
        """Return the script to give to the twin."""
        return Script(rules=(), brain=self._answer, think_s=0.15)

    def reply(self, phrase: str, subjects: tuple[str, ...]) -> str:
        """Return the sentence that answers a phrase."""
        now = self._now()
        answers = {
            "time": f"It is {now:%H:%M}.",
            "see": f"I see {subjects[-1]}." if subjects else "No picture came with your question.",
            "story": STORY,
            "day": f"Today is {now:%A}, the {now.day} of {now:%B}.",
            "joke": "A microphone and a loudspeaker walk into a bar. You should have heard the echo.",
            "morning": "Good morning! I do not think we have met.",
        }
        return next((answer for word, answer in answers.items() if word in phrase), UNKNOWN)

    async def _answer(self, turn: Turn) -> AsyncIterator[Step]:
        expected = self._expected
        phrase = "" if self._ear is None else await asyncio.to_thread(self._ear.hear, turn.audio)
        digests = (hashlib.sha256(image).hexdigest() for image in turn.images)
        subjects = tuple(self._subjects.get(digest, "a picture I do not know") for digest in digests)
        if self._ear is None and expected:
            phrase = UTTERANCES[expected].text
        answer = self.reply(phrase, subjects)
        understood = "" if self._ear is None else phrase
        earlier = len(turn.history) - 1
        self.heard.append(HeardTurn(turn.session, expected, understood, turn.audio, subjects, earlier, answer))
        turn.text = phrase
        yield Hear(phrase or "[not understood]")
        yield Say(answer)
