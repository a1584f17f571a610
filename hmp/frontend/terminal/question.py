"""A question that is answered with one key."""

from __future__ import annotations

from prompt_toolkit import PromptSession
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.keys import Keys

from hmp.frontend.terminal.screen import Screen

_YES = ("y", "Y")
_NO = ("n", "N", "q", "enter", "escape", "c-c")


def make_question(text: str, screen: Screen, also_yes: str = "") -> PromptSession[bool]:
    """A prompt whose result is the answer; what is no answer, is no key here.

    Args:
        text: the question.
        screen: where.
        also_yes: one more key that means yes.
    """
    keys = KeyBindings()
    yes = {*_YES, also_yes}

    def bind(key: str, answer: bool) -> None:
        @keys.add(key, eager=True)
        def _answer(event: KeyPressEvent) -> None:
            event.current_buffer.text = "yes" if answer else "no"
            event.app.exit(result=answer)

    for key in dict.fromkeys((*_YES, *_NO, "c-d")):
        bind(key, key in yes)

    @keys.add(Keys.Any)
    def _ignore(event: KeyPressEvent) -> None:
        pass

    return PromptSession(
        [("class:prompt", text), ("", " [y/N] ")],
        key_bindings=keys,
        style=screen.theme.style,
        color_depth=screen.theme.depth,
        include_default_pygments_style=False,
        input=screen.input,
        output=screen.output,
    )
