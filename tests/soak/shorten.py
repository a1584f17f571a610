"""Makes a story that goes wrong as short as it can be."""

from __future__ import annotations

import tempfile
from pathlib import Path

from tests.blockdev.stories import Geometry, Start, Story
from tests.blockdev.storyteller import Storyteller


def fault_of(story: Story, folder: Path | None = None) -> str:
    """What goes wrong in a story: the kind of error and its first line; "" for nothing."""
    with tempfile.TemporaryDirectory(dir=folder) as inner:
        try:
            Storyteller(Path(inner), story).play()
        except Exception as error:
            return f"{type(error).__name__}: {error}".splitlines()[0]
    return ""


def shorten(story: Story, folder: Path | None = None) -> Story:
    """The story with all left out that isn't needed for some fault."""
    geometry, start = story.geometry, story.start
    plainer = [
        Story(Geometry(), start, story.steps),
        Story(geometry._replace(compression="zlib"), start, story.steps),
        Story(geometry._replace(extended_l2=False), start, story.steps),
        Story(geometry, Start("empty", start.size), story.steps),
    ]
    if geometry.version == 3:
        plainer.insert(1, Story(geometry._replace(refcount_bits=16), start, story.steps))
    for each in plainer:
        changed = Story(
            each.geometry if each.geometry != geometry else story.geometry,
            each.start if each.start != start else story.start,
            story.steps,
        )
        if changed != story and fault_of(changed, folder):
            story = changed
    length = len(story.steps)
    while length:
        at = 0
        while at < len(story.steps):
            changed = story._replace(steps=[*story.steps[:at], *story.steps[at + length :]])
            if fault_of(changed, folder):
                story = changed
            else:
                at += length
        length //= 2
    for n, step in enumerate(story.steps):
        if step.by_real:
            steps = list(story.steps)
            steps[n] = step._replace(by_real=False)
            changed = story._replace(steps=steps)
            if fault_of(changed, folder):
                story = changed
    return story
