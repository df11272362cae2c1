"""The sheet: one HTML page of questions and answers, to be heard, read, ticked and signed. Pure.

    html = draw(answers, heading, sounds=sounds_for(answers, folder="rehearsal-sound"))

The page stands alone: no script, no font, no picture from elsewhere, and a policy in its head that forbids them. What
people and the model wrote is escaped. Sound is embedded while all of it is at most `MAX_EMBEDDED_BYTES`, so that one
file can be sent around; beyond, the answers lie as WAV files in a folder beside the sheet, which must go with it.
Printed, the players vanish and the boxes and lines for remarks stay. Ticks live in the page on the screen only: print
it, or save it as PDF, to keep them.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape

from edge_agent.audio.wavfile import header
from edge_agent.persona import Persona
from edge_agent.rehearsal.asking import Answer

MAX_EMBEDDED_BYTES = (
    16 << 20
)  # of WAV, about six minutes of answers; browsers open larger pages slowly, mail refuses them
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; media-src data: file: 'self'"


@dataclass(frozen=True, slots=True)
class Heading:
    """What the sheet says about the rehearsal as a whole."""

    date: str
    """When it was, as a person writes it."""
    questions: str
    """Name of the file of questions."""
    model: str
    voice: str
    language: str
    service: str
    """Google's service, or where else the answers came from."""
    spoken: bool
    version: str
    persona: Persona | None = None
    persona_name: str = ""
    instruction: str = ""
    """The configuration's system instruction, where there is no persona."""
    tools: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Sounds:
    """Where the players find the answers: an address for each, and the files to write beside the sheet."""

    addresses: Mapping[int, str]
    files: Mapping[str, bytes] = field(default_factory=dict)
    """Path from the sheet's folder -> WAV."""


def wav(answer: Answer) -> bytes:
    """Return the spoken answer as a WAV file."""
    return header(len(answer.pcm) // 2, rate=answer.rate, channels=1, bits=16) + answer.pcm


def sounds_for(answers: Sequence[Answer], *, folder: str, limit: int = MAX_EMBEDDED_BYTES) -> Sounds:
    """Embed all sound if it has at most `limit` bytes, else lay it out as files in `folder`."""
    waves = {number: wav(answer) for number, answer in enumerate(answers, 1) if answer.pcm}
    if sum(map(len, waves.values())) <= limit:
        return Sounds({n: "data:audio/wav;base64," + base64.b64encode(one).decode() for n, one in waves.items()})
    names = {number: f"{folder}/{number:03}.wav" for number in waves}
    return Sounds(names, {names[number]: one for number, one in waves.items()})


def draw(answers: Sequence[Answer], heading: Heading, *, sounds: Sounds) -> str:
    """Return the sheet as HTML."""
    title = f"Rehearsal of {heading.persona_name or 'the device'}, {heading.date}"
    rows: list[str] = []
    for number, answer in enumerate(answers, 1):
        if number == 1 or answer.question.conversation != answers[number - 2].question.conversation:
            rows.append(f'<h2 id="c{answer.question.conversation}">Conversation {answer.question.conversation}</h2>')
        rows.append(_row(number, answer, heading, sounds.addresses.get(number)))
    return "\n".join(
        [
            "<!DOCTYPE html>",
            '<html lang="en">',
            "<head>",
            '<meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{escape(title)}</title>",
            f"<style>{_STYLE}</style>",
            "</head>",
            "<body>",
            "<header>",
            f"<h1>{escape(title)}</h1>",
            *_summary(answers),
            *_facts(heading),
            "</header>",
            "<main>",
            *rows,
            "</main>",
            *_signature(),
            "</body>",
            "</html>",
            "",
        ]
    )


def _summary(answers: Sequence[Answer]) -> list[str]:
    failed = [number for number, answer in enumerate(answers, 1) if answer.error]
    waits = sorted(answer.first_sound_s for answer in answers if answer.first_sound_s is not None)
    said = f"{len(answers) - len(failed)} of {len(answers)} questions were answered"
    if waits:
        said += f"; first sound after {waits[len(waits) // 2]:.1f} s as a rule, {waits[-1]:.1f} s at most"
    prompt, response = (sum(getattr(one, name) for one in answers) for name in ("prompt_tokens", "response_tokens"))
    if prompt or response:
        said += f"; {prompt} tokens in, {response} out"
    lines = [f"<p>{said}.</p>"]
    if failed:
        links = ", ".join(f'<a href="#q{number}">{number}</a>' for number in failed)
        lines.append(f'<p class="error"><strong>Without a full answer:</strong> {links}</p>')
    return lines


def _facts(heading: Heading) -> list[str]:
    persona = heading.persona
    rows = [
        ("Model", heading.model),
        ("Voice", heading.voice),
        ("Language", heading.language or "follows the speaker"),
        ("Questions", f"{heading.questions}, {'spoken by espeak-ng' if heading.spoken else 'typed'}"),
        ("Answered by", heading.service),
        ("Tools offered", ", ".join(heading.tools) or "none"),
        ("edge-agent", heading.version),
    ]
    if persona is not None:
        rows.insert(0, ("Persona", f"{heading.persona_name} (about {persona.tokens} tokens in all)"))
        if persona.greeting:
            rows.append(("Greeting (handset)", persona.greeting))
    lines = ["<dl>", *(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in rows), "</dl>"]
    if persona is not None and persona.knowledge:
        cells = "".join(f"<tr><td>{escape(one.name)}.md</td><td>{one.tokens}</td></tr>" for one in persona.knowledge)
        lines.append(
            '<table class="knowledge"><caption>Knowledge files</caption><thead><tr><th scope="col">File</th>'
            f'<th scope="col">Tokens, about</th></tr></thead><tbody>{cells}</tbody></table>'
        )
    instruction = persona.instruction if persona is not None else heading.instruction
    if instruction:
        lines.append(f'<details><summary>Instruction</summary><pre dir="auto">{escape(instruction)}</pre></details>')
    return lines


def _row(number: int, answer: Answer, heading: Heading, address: str | None) -> str:
    lang = f' lang="{escape(heading.language)}"' if heading.language else ""
    parts = [f'<section class="row{" failed" if answer.error else ""}" id="q{number}" aria-labelledby="t{number}">']
    parts.append(f'<div class="asked"><h3 id="t{number}" dir="auto"{lang}>')
    parts.append(f'<span class="number">{number}</span> {escape(answer.question.text)}</h3>')
    if answer.anew:
        parts.append('<p class="understood">asked in a new conversation: the one before had ended</p>')
    if heading.spoken and answer.heard:
        parts.append(f'<p class="understood">understood as: <q dir="auto"{lang}>{escape(answer.heard)}</q></p>')
    if answer.text:
        parts.append(f'<blockquote dir="auto"{lang}>{escape(answer.text)}</blockquote>')
    elif answer.pcm:
        parts.append('<p class="understood">no transcript came with this answer; listen to it</p>')
    if answer.error:
        parts.append(f'<p class="error"><strong>Failed:</strong> {escape(answer.error)}</p>')
    if answer.tools:
        calls = "".join(f"<li><code>{escape(call)}</code></li>" for call in answer.tools)
        parts.append(f'<p class="understood">called:</p><ul class="tools">{calls}</ul>')
    if address is not None:
        label = f'aria-label="Answer to question {number}"'
        parts.append(f'<audio controls preload="metadata" {label} src="{escape(address)}"></audio>')
    parts.append(f'<p class="figures">{_figures(answer)}</p></div>')
    parts.append(
        f'<fieldset class="verdict"><legend>Question {number}</legend>'
        f'<label><input type="radio" name="v{number}"> approve</label> '
        f'<label><input type="radio" name="v{number}"> reject</label>'
        f'<label class="remarks">Remarks<textarea rows="3"></textarea></label></fieldset></section>'
    )
    return "".join(parts)


def _figures(answer: Answer) -> str:
    if not answer.asked:
        return "not asked"
    figures = []
    if answer.first_sound_s is not None:
        figures.append(f"first sound after {answer.first_sound_s:.2f} s")
    figures.append(f"{answer.seconds:.1f} s long" if answer.pcm else "no sound")
    if answer.prompt_tokens or answer.response_tokens:
        figures.append(f"{answer.prompt_tokens} tokens in, {answer.response_tokens} out")
    return " · ".join(figures)


def _signature() -> list[str]:
    fields = "".join(
        f'<label>{name}<input type="text" autocomplete="off"></label>' for name in ("Name", "Date", "Signature")
    )
    return [f'<footer><fieldset class="sign"><legend>Signed off by</legend>{fields}</fieldset></footer>']


_STYLE = """
:root { color-scheme: light; --line: #bcccdc; --quiet: #52606d; }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 70rem; padding: 1.5rem; background: #fff; color: #102a43;
  font: 1rem/1.5 "Noto Sans", "DejaVu Sans", "Segoe UI", Helvetica, Arial, sans-serif; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 0 0 .5rem; }
h2 { font-size: 1.1rem; margin: 2rem 0 .5rem; padding-bottom: .25rem; border-bottom: 2px solid #334e68; }
h3 { font-size: 1rem; margin: 0 0 .5rem; }
.number { display: inline-block; min-width: 1.8em; padding: 0 .35em; border-radius: .3em; text-align: center;
  background: #334e68; color: #fff; font-weight: 400; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .1rem 1rem; margin: 1rem 0; }
dt { color: var(--quiet); } dd { margin: 0; overflow-wrap: anywhere; }
table.knowledge { border-collapse: collapse; margin: 1rem 0; }
.knowledge caption { text-align: left; color: var(--quiet); }
.knowledge th, .knowledge td { border: 1px solid var(--line); padding: .2rem .6rem; text-align: left; }
.knowledge td + td { text-align: right; font-variant-numeric: tabular-nums; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; background: #f0f4f8; padding: .75rem; border-radius: .3rem; }
.row { display: grid; grid-template-columns: 1fr 15rem; gap: 1.25rem; padding: 1rem 0;
  border-bottom: 1px solid var(--line); }
.row.failed { border-left: .3rem solid #ba2525; padding-left: .8rem; }
blockquote { margin: 0 0 .6rem; padding-left: .8rem; border-left: .2rem solid #9fb3c8; white-space: pre-wrap;
  overflow-wrap: anywhere; }
.understood, .figures { color: var(--quiet); font-size: .875rem; margin: 0 0 .4rem; }
.figures { font-variant-numeric: tabular-nums; }
.tools { margin: 0 0 .6rem; padding-left: 1.2rem; font-size: .875rem; overflow-wrap: anywhere; }
.error { color: #911111; }
audio { display: block; width: 100%; max-width: 30rem; margin: .4rem 0; }
fieldset { border: 1px solid var(--line); border-radius: .4rem; padding: .5rem .8rem .8rem; min-width: 0; }
legend { color: var(--quiet); font-size: .875rem; padding: 0 .3rem; }
.verdict { align-self: start; }
.verdict label { margin-right: .8rem; white-space: nowrap; }
.verdict .remarks { display: block; margin: .4rem 0 0; font-size: .875rem; color: var(--quiet); }
textarea, input[type=text] { display: block; width: 100%; font: inherit; border: 1px solid var(--line);
  border-radius: .3rem; padding: .3rem; resize: vertical; }
.sign { display: grid; grid-template-columns: 2fr 1fr 2fr; gap: 1rem; margin-top: 2rem; }
:focus-visible { outline: 3px solid #2186eb; outline-offset: 2px; }
@media (max-width: 45rem) { .row, .sign { grid-template-columns: 1fr; } body { padding: 1rem; } }
@media print {
  @page { margin: 15mm; }
  body { max-width: none; padding: 0; font-size: 10pt; }
  audio, details:not([open]) { display: none; }
  .row { break-inside: avoid; grid-template-columns: 1fr 6cm; }
  h2, h3 { break-after: avoid; }
  .number { background: none; color: inherit; border: 1px solid currentColor; }
  textarea, input[type=text] { border: 0; border-bottom: 1px solid #627d98; border-radius: 0; resize: none; }
}
""".strip()
