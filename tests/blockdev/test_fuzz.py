"""Damaged images: they are refused or used, and never more than that."""

from pathlib import Path

from tests.blockdev.fuzzing import Campaign, make_specimens, specimens
from tests.blockdev.mutations import Damage

IMAGES = 300


def test_damaged_images_are_refused_in_words_and_in_time(
    qemu_img: str, qemu_io: str, tmp_path: Path
) -> None:
    make_specimens(tmp_path)
    campaign = Campaign(tmp_path, 0, IMAGES, workers=2)
    for _ in campaign.run():
        pass
    assert campaign.done == IMAGES
    assert not campaign.findings, "\n".join(
        f"seed {found.seed}: {found.image}; {found.doing}: {found.fault}\n{found.trace}"
        for found in campaign.findings
    )
    # Damage that is always refused at once would try nothing.
    assert IMAGES // 2 < campaign.opened < 2 * IMAGES


def test_a_seed_always_does_the_same_damage(qemu_img: str, qemu_io: str, tmp_path: Path) -> None:
    make_specimens(tmp_path)
    for specimen in specimens(tmp_path):
        one, other = Damage(specimen, 5), Damage(specimen, 5)
        assert (one.patches, one.size) == (other.patches, other.size)
        assert one.patches or one.size != len(specimen.data)
