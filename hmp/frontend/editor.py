"""QEMU's line editor, byte for byte and without I/O: bytes in, bytes and finished lines out.

Everything drawn follows one rule. After each input byte the line is compared with what was last
drawn. If its text changed: one step left for each column of the drawn cursor, the whole line,
erase to the end. If the cursor is then elsewhere: one step for each column. A column is a byte,
no terminal type is consulted and nothing wraps.

A command has to run before the input behind its Enter is looked at, so the editor stops there:
``feed`` only stores bytes, ``next_line`` edits until a line is finished.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

LINE_LIMIT = 4095  # bytes; what is typed beyond is ignored in silence
HISTORY_LIMIT = 64  # lines
CANDIDATE_LIMIT = 256  # completions; those found later are not shown
SCREEN_WIDTH = 80  # columns a list of completions may take
MINIMUM_CELL_WIDTH = 10

LEFT, RIGHT, ERASE_TO_END = b"\x1b[D", b"\x1b[C", b"\x1b[K"
CLEAR_SCREEN = b"\x1b[2J\x1b[1;1H"

# Where in an escape sequence the next byte stands.
PLAIN, ESCAPE, CSI, SS3 = range(4)


def remember(history: list[str], line: str) -> bool:
    """Add a line to the history that `info history` shows, each line once, the newest last.

    Returns:
        Whether it was taken: where not, the place in the history stays as well.
    """
    if not line:
        return False
    if len(history) == HISTORY_LIMIT and line == history[-1]:
        return False  # only in a full history, and only QEMU knows why
    if line in history:
        history.remove(line)
    elif len(history) == HISTORY_LIMIT:
        del history[0]
    history.append(line)
    return True


class LineEditor:
    """One monitor's line editor; its history and its prompt outlive a client.

    Args:
        write: takes the bytes to send back, in order.
        complete: for a line (the text left of the cursor) the words that may stand at its end,
            each whole, in any order, and how many bytes of them are typed already.
        prompt: shown by `show_prompt`.
    """

    def __init__(
        self,
        write: Callable[[bytes], object],
        complete: Callable[[str], tuple[Sequence[str], int]],
        prompt: str = "(qemu) ",
    ) -> None:
        self.history: list[str] = []  # oldest first
        self._recalled = -1  # index of the line fetched from the history, -1 for none
        self._write = write
        self._complete = complete
        self._prompt = self._usual_prompt = prompt
        self._masked = False

        self._input = b""
        self._input_position = 0

        self._line = bytearray()
        self._cursor = 0  # byte index in the line
        self._drawn_line = b""
        self._drawn_cursor = 0

        self._state = PLAIN
        self._parameter = 0  # of a CSI; 32 bits
        self._keys: dict[int, Callable[[], object]] = {
            0x01: self._to_start,
            0x04: self._delete_right,
            0x05: self._to_end,
            0x08: self._delete_left,
            0x09: self._complete_word,
            0x0C: self._clear_screen,
            0x17: self._delete_word_left,
            0x7F: self._delete_left,
        }
        self._csi_keys: dict[int, Callable[[], object]] = {
            ord("A"): self._older,
            ord("F"): self._older,
            ord("B"): self._newer,
            ord("E"): self._newer,
            ord("C"): self._right,
            ord("D"): self._left,
            ord("~"): self._numbered_key,
        }

    # -- what the front end calls

    @property
    def has_input(self) -> bool:
        """Whether bytes were fed that no line has used up."""
        return self._input_position < len(self._input)

    def feed(self, data: bytes) -> None:
        """Store input; `next_line` edits with it."""
        self._input = self._input[self._input_position :] + data
        self._input_position = 0

    def next_line(self) -> str | None:
        """Edit with the stored input up to the next Enter.

        Returns:
            The line, its break already echoed; None when the input is used up before an Enter.
        """
        data = self._input
        for position in range(self._input_position, len(data)):
            byte = data[position]
            if self._state != PLAIN:
                self._continue_escape(byte)
            elif byte == 0x0A or byte == 0x0D:
                self._input_position = position + 1
                return self._finish()
            elif byte == 0x1B:
                self._state = ESCAPE
            elif byte == 0x9B:
                self._state = CSI  # the parameter of the sequence before stays, as in QEMU
            elif key := self._keys.get(byte):
                key()
            elif byte >= 0x20:
                self._insert(byte)
            else:
                continue
            self._redraw()
        self._input, self._input_position = b"", 0
        return None

    def show_prompt(self) -> None:
        """Send the prompt; the line, if any, counts as not drawn."""
        self._write(self._prompt.encode("utf-8", "surrogateescape"))
        self._drawn_line, self._drawn_cursor = b"", 0
        self._state = PLAIN

    def restart(self) -> None:
        """Forget the half-typed line; prompt, masking and place in the history stay."""
        self._line.clear()
        self._cursor = 0

    def ask_password(self, prompt: str = "Password: ") -> None:
        """Make the next line a masked one, which Tab leaves alone and the history never sees."""
        self._prompt, self._masked = prompt, True
        self.restart()

    @property
    def asks_password(self) -> bool:
        """Whether the line being typed is a password, not a command."""
        return self._masked

    # -- drawing

    def _redraw(self) -> None:
        line, cursor = self._line, self._cursor
        if line != self._drawn_line:
            shown = b"*" * len(line) if self._masked else line
            self._write(b"".join((LEFT * self._drawn_cursor, shown, ERASE_TO_END)))
            self._drawn_line = bytes(line)
            self._drawn_cursor = len(line)
        if cursor != self._drawn_cursor:
            steps = cursor - self._drawn_cursor
            self._write(RIGHT * steps if steps > 0 else LEFT * -steps)
            self._drawn_cursor = cursor

    def _clear_screen(self) -> None:
        self._write(CLEAR_SCREEN)
        self.show_prompt()

    # -- escape sequences

    def _continue_escape(self, byte: int) -> None:
        state, self._state = self._state, PLAIN
        if state == ESCAPE:
            if byte == ord("[") or byte == ord("O"):
                self._state = CSI if byte == ord("[") else SS3
                self._parameter = 0
        elif state == SS3:
            if byte == ord("H"):
                self._to_start()
            elif byte == ord("F"):
                self._to_end()
        elif ord("0") <= byte <= ord("9"):
            self._state = CSI
            self._parameter = (self._parameter * 10 + byte - ord("0")) & 0xFFFFFFFF
        elif key := self._csi_keys.get(byte):
            key()

    def _numbered_key(self) -> None:
        if self._parameter == 1:
            self._to_start()
        elif self._parameter == 3:
            self._delete_right()
        elif self._parameter == 4:
            self._to_end()

    # -- editing

    def _insert(self, byte: int) -> None:
        if len(self._line) < LINE_LIMIT:
            self._line.insert(self._cursor, byte)
            self._cursor += 1

    def _delete_right(self) -> None:
        del self._line[self._cursor : self._cursor + 1]

    def _delete_left(self) -> None:
        if self._cursor:
            self._cursor -= 1
            self._delete_right()

    def _delete_word_left(self) -> None:
        """Delete the blanks left of the cursor and the word left of them.

        QEMU does not look at the first byte: a single blank there goes with the word.
        """
        before = bytes(self._line[: self._cursor])
        start = before.rstrip(b" ").rfind(b" ", 1) + 1
        del self._line[start : self._cursor]
        self._cursor = start

    def _left(self) -> None:
        self._cursor = max(self._cursor - 1, 0)

    def _right(self) -> None:
        self._cursor = min(self._cursor + 1, len(self._line))

    def _to_start(self) -> None:
        self._cursor = 0

    def _to_end(self) -> None:
        self._cursor = len(self._line)

    # -- a finished line, and the history

    def _finish(self) -> str:
        line = self._line.decode("utf-8", "surrogateescape")
        if self._masked:
            self._prompt, self._masked = self._usual_prompt, False
        else:
            self._remember(line)
        self._write(b"\r\n")
        self.restart()
        self._drawn_line, self._drawn_cursor = b"", 0
        return line

    def _remember(self, line: str) -> None:
        if remember(self.history, line):
            self._recalled = -1

    def _older(self) -> None:
        if self._recalled == 0:
            return
        if self._recalled < 0:
            self._recalled = len(self.history)
        self._recalled -= 1
        if self._recalled >= 0:
            self._replace(self.history[self._recalled])

    def _newer(self) -> None:
        if self._recalled < 0:
            return
        self._recalled += 1
        if self._recalled < len(self.history):
            self._replace(self.history[self._recalled])
        else:
            self._recalled = -1
            self.restart()

    def _replace(self, line: str) -> None:
        self._line[:] = line.encode("utf-8", "surrogateescape")
        self._to_end()

    # -- completion

    def _complete_word(self) -> None:
        if self._masked:
            return
        before = bytes(self._line[: self._cursor])
        words, typed = self._complete(before.decode("utf-8", "surrogateescape"))
        found = dict.fromkeys(word.encode("utf-8", "surrogateescape") for word in words)
        candidates = list(found)[:CANDIDATE_LIMIT]
        if not candidates:
            return
        if len(candidates) == 1:
            word = candidates[0]
            self._insert_all(word[typed:])
            if word and not word.endswith(b"/"):
                self._insert(ord(" "))
            return
        candidates.sort()
        # What the first and the last have in common, all between them have too.
        first, last = candidates[0], candidates[-1]
        common = 0
        while common < len(first) and first[common] == last[common]:
            common += 1
        self._insert_all(first[typed:common])
        self._list(candidates)

    def _insert_all(self, text: bytes) -> None:
        for byte in text:
            self._insert(byte)

    def _list(self, candidates: Sequence[bytes]) -> None:
        """Send the candidates in rows, then the prompt."""
        width = min(max(max(map(len, candidates)) + 2, MINIMUM_CELL_WIDTH), SCREEN_WIDTH)
        cells = [candidate.ljust(width) for candidate in candidates]
        row_length = SCREEN_WIDTH // width
        for start in range(0, len(cells), row_length):
            self._write(b"\r\n" + b"".join(cells[start : start + row_length]))
        self._write(b"\r\n")
        self.show_prompt()
