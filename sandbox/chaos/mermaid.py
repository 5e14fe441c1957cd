"""A sequence diagram as Mermaid, which GitHub and many CI systems draw where it stands in Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

from sandbox.chaos.diagram import Diagram, Step, duration

# More than so many steps nobody reads in a pull request, and drawing them takes a browser long.
MOST_STEPS: Final = 60
_LONGEST_TEXT: Final = 80
_PLAIN: Final = frozenset(" _.,-/+()*=!?")
# A word that ends a block of the language, wherever it stands.
_END: Final = re.compile(r"\bend\b", re.IGNORECASE)
_FAULTY: Final = "rect rgba(213, 94, 0, 0.15)"
_PAUSE: Final = 1.0


def mermaid(diagram: Diagram) -> str:
    """A diagram as the text of a Mermaid block. Steps that tell least are left out of a long one, and counted."""
    lines = ["sequenceDiagram"]
    for number, participant in enumerate(diagram.participants):
        word = "actor" if participant.role == "scenario" else "participant"
        name = participant.name if participant.role != "subject" else f"subject {participant.name}"
        lines.append(f"    {word} p{number} as {escape(name)}")
    subject = next(n for n, participant in enumerate(diagram.participants) if participant.role == "subject")
    span = f"p{subject}" if subject == len(diagram.participants) - 1 else f"p{subject},p{len(diagram.participants) - 1}"
    before = 0.0
    left_out = 0
    kept = _telling(diagram.steps)
    for step in diagram.steps:
        if step.position not in kept:
            left_out += 1
            continue
        asides = [f"{left_out} left out"] if left_out else []
        asides += [f"{duration(step.at - before)} later"] if step.at - before >= _PAUSE else []
        if asides:
            lines.append(f"    Note over {span}: {', '.join(asides)}")
        left_out, before = 0, step.at
        lines += [f"    {line}" for line in _framed(step)]
    if left_out:
        lines.append(f"    Note over {span}: {left_out} left out")
    return "\n".join(lines)


def escape(text: str) -> str:
    """Text that Mermaid takes as text, whatever is in it: all that could mean something becomes a character code."""
    short = text if len(text) <= _LONGEST_TEXT else f"{text[: _LONGEST_TEXT - 1]}…"
    plain = "".join(char if char.isalnum() or char in _PLAIN else f"#{_code(char)};" for char in short)
    return _END.sub(lambda found: f"#{ord(found[0][0])};{found[0][1:]}", plain)


def _code(char: str) -> int:
    return ord(char) if char.isprintable() else ord(" ")


def _framed(step: Step) -> Iterator[str]:
    """The lines of a step, with a tinted frame around one that met a fault."""
    lines = _note(step) if step.kind == "note" else _call(step) if step.kind == "call" else _delivery(step)
    if not step.fault:
        yield from lines
        return
    yield _FAULTY
    yield from (f"    {line}" for line in lines)
    yield "end"


def _note(step: Step) -> list[str]:
    sign = {"starts": "▶ ", "stops": "✖ "}.get(step.turn, "")
    return [f"Note over p{step.source}: {sign}{escape(step.name)}"]


def _call(step: Step) -> list[str]:
    source, target = f"p{step.source}", f"p{step.target}"
    lines = [f"{source}->>{target}: {escape(step.label)}"]
    if step.fault:
        effect = "work done" if step.effect == "applied" else "nothing done"
        lines.append(f"Note over {target}: ⚡ {escape(step.fault)}, {effect}")
    done = f" ✔ {escape(step.change)}" if step.change else ""
    if step.answered:
        lines.append(f"{target}-->>{source}: {escape(step.answer)}{done}")
    else:
        lines.append(f"{target}--x{source}: {escape(step.answer)}{done}")
    return lines


def _delivery(step: Step) -> list[str]:
    source, target = f"p{step.source}", f"p{step.target}"
    arrow = "-)" if step.reached else "-x"
    answer = f" ({step.answer})" if step.answer else ""
    lines = [f"{source}{arrow}{target}: {escape(step.label + answer)}"]
    if step.fault:
        lines.insert(0, f"Note over {source}: ⚡ {escape(step.fault)}")
    return lines


def _telling(steps: Sequence[Step]) -> frozenset[int]:
    """The positions of those that are shown: faults and evidence first, then effects, then webhooks, then the rest."""
    ranked = sorted(steps, key=lambda step: (_rank(step), step.at, step.seq))
    return frozenset(step.position for step in ranked[:MOST_STEPS])


def _rank(step: Step) -> int:
    if step.fault or step.evidence:
        return 0
    if step.kind == "note" or step.effect == "applied":
        return 1
    return 2 if step.kind == "delivery" else 3
