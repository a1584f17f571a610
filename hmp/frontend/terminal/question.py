"""A question that is answered with one key."""

from __future__ import annotations

from prompt_toolkit.application import Application
from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.layout import FormattedTextControl, Layout, Window

from hmp.frontend.terminal.screen import Screen

_YES = ("y", "Y")
_NO = ("n", "N", "q", "enter", "escape", "c-c")


def make_question(text: str, screen: Screen, also_yes: str = "") -> Application[bool]:
    """An application whose result is the answer; what is no answer, such as a paste, is nothing.

    Args:
        text: the question.
        screen: where.
        also_yes: one more key that means yes.
    """
    keys = KeyBindings()
    yes = {*_YES, also_yes}
    shown: StyleAndTextTuples = [
        ("class:prompt", text.replace("\n", "^J")),
        ("", " [y/N] "),
        ("[SetCursorPosition]", ""),
    ]

    def bind(key: str, answer: bool) -> None:
        @keys.add(key, eager=True)
        def _answer(event: KeyPressEvent) -> None:
            shown.append(("", "yes" if answer else "no"))
            event.app.exit(result=answer)

    for key in dict.fromkeys((*_YES, *_NO, "c-d")):
        bind(key, key in yes)

    control = FormattedTextControl(lambda: shown, focusable=True)
    return Application(
        layout=Layout(Window(control, wrap_lines=True, dont_extend_height=True)),
        key_bindings=keys,
        style=screen.theme.style,
        color_depth=screen.theme.depth,
        include_default_pygments_style=False,
        input=screen.input,
        output=screen.output,
    )
