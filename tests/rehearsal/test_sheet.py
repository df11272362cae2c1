"""The sheet, read as a browser would."""

from __future__ import annotations

import base64
import io
import re
import wave
from html.parser import HTMLParser

from hypothesis import given
from hypothesis import strategies as st

from edge_agent.persona import Knowledge, Persona
from edge_agent.rehearsal.asking import Answer
from edge_agent.rehearsal.questions import Question
from edge_agent.rehearsal.sheet import Heading, draw, sounds_for

PERSONA = Persona("You are Otto.", (Knowledge("hours", "Ten.", 2),), greeting="Hello!", voice="Kore", language="en-GB")
HEADING = Heading(
    date="21 November 2026, 10:00", questions="q.txt", model="gemini-3.8-live", voice="Kore", language="en-GB",
    service="Google's Live API", spoken=True, version="0.1.0", persona=PERSONA, persona_name="otto", tools=["price"],
)  # fmt: skip
VOID = {"meta", "input", "br"}


def answered(text: str = "We open at ten.", question: str = "When do you open?", **more: object) -> Answer:
    answer = Answer(Question(question, 1, 1), text=text, pcm=bytearray(b"\x01\x00" * 2400), first_sound_s=0.5)
    for name, value in more.items():
        setattr(answer, name, value)
    return answer


class Page(HTMLParser):
    """Elements in order, text, and whether every element was closed."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(html)
        self.close()
        assert not self._open, f"never closed: {self._open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data

    def of(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.elements if name == tag]


def page(*answers: Answer, limit: int = 1 << 20) -> Page:
    return Page(draw(answers, HEADING, sounds=sounds_for(answers, folder="sheet-sound", limit=limit)))


def test_a_row_has_question_answer_sound_figures_and_boxes_to_tick() -> None:
    shown = page(
        answered(heard="when do you open", prompt_tokens=40, response_tokens=60, tools=["price(people=3) → 36"])
    )
    for words in (
        "When do you open?",
        "We open at ten.",
        "first sound after 0.50 s",
        "0.1 s long",
        "price(people=3) → 36",
    ):
        assert words in shown.text
    assert "40 tokens in, 60 out" in shown.text
    assert "when do you open" in shown.text
    (player,) = shown.of("audio")
    kind, _, data = player["src"].partition(",")
    assert kind == "data:audio/wav;base64"
    with wave.open(io.BytesIO(base64.b64decode(data))) as sound:
        assert (sound.getframerate(), sound.getnchannels(), sound.getnframes()) == (24_000, 1, 2400)
    assert [box["name"] for box in shown.of("input") if box["type"] == "radio"] == ["v1", "v1"]
    assert len(shown.of("textarea")) == 1


def test_the_head_says_who_was_rehearsed() -> None:
    shown = page(answered())
    for words in (
        "otto",
        "gemini-3.8-live",
        "Kore",
        "en-GB",
        "21 November 2026",
        "hours.md",
        "You are Otto.",
        "Hello!",
    ):
        assert words in shown.text
    assert f"about {PERSONA.tokens} tokens" in shown.text


def test_a_failed_question_is_shown_as_failed_and_named_at_the_top() -> None:
    shown = page(answered(), answered("", error="The service said nothing for 20 s.", pcm=bytearray()))
    assert "1 of 2 questions were answered" in shown.text
    assert "Failed: The service said nothing for 20 s." in shown.text
    assert {"href": "#q2"} in shown.of("a")
    assert len(shown.of("audio")) == 1


def test_a_question_that_was_not_asked_has_no_figures() -> None:
    shown = page(answered("", asked=False, error="Not asked: no key", pcm=bytearray(), first_sound_s=None))
    assert "not asked" in shown.text
    assert "no sound" not in shown.text


def test_large_sound_lies_beside_the_sheet() -> None:
    answers = [answered(), answered("", pcm=bytearray()), answered()]
    sounds = sounds_for(answers, folder="sheet-sound", limit=9000)
    assert sorted(sounds.files) == ["sheet-sound/001.wav", "sheet-sound/003.wav"]
    assert all(one[:4] == b"RIFF" for one in sounds.files.values())
    assert [player["src"] for player in page(*answers, limit=9000).of("audio")] == sorted(sounds.files)


def test_nothing_is_fetched_from_elsewhere() -> None:
    html = draw([answered()], HEADING, sounds=sounds_for([answered()], folder="s"))
    assert not re.search(r"https?:|//[a-z]|@import|url\(|<script|<link|<img", html)
    assert "default-src 'none'" in html


def test_every_control_has_a_name_for_those_who_do_not_see_it() -> None:
    html = draw([answered()], HEADING, sounds=sounds_for([answered()], folder="s"))
    assert html.startswith('<!DOCTYPE html>\n<html lang="en">')
    assert all(player["aria-label"] for player in Page(html).of("audio"))
    for control in re.findall(r"<(?:input|textarea)", html):
        assert html.count(control) == len(re.findall(rf"<label[^>]*>(?:[^<]*){re.escape(control)}", html))


nasty = st.text(max_size=40) | st.sampled_from(
    ["<script>alert(1)</script>", '"><img src=x>', "</blockquote>&amp;", "'"]
)


@given(question=nasty, text=nasty, error=nasty, tool=nasty, language=nasty)
def test_whatever_is_said_the_page_keeps_its_shape(
    question: str, text: str, error: str, tool: str, language: str
) -> None:
    answer = answered(text, question, error=error, tools=[tool], heard=text)
    heading = Heading(
        date="x", questions=question, model=text, voice=text, language=language, service=text, spoken=True,
        version="0", persona=Persona(text, (Knowledge(tool, "", 1),), greeting=text), persona_name=question,
    )  # fmt: skip
    shown = Page(draw([answer], heading, sounds=sounds_for([answer], folder="s")))
    assert not shown.of("script")
    assert not shown.of("img")
    plain = Page(
        draw(
            [answered("x", "x", error=error and "x", tools=["x"], heard=text and "x")],
            HEADING,
            sounds=sounds_for([answer], folder="s"),
        )
    )
    if text and language:
        assert [tag for tag, _ in shown.elements] == [tag for tag, _ in plain.elements]
