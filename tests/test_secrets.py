"""Secrets that another secret protects, beside the real program's."""

import base64

from hypothesis import given
from hypothesis import strategies as st

from machine.qom.aes import decrypt_cbc
from tests.twin import check_session

KEY = base64.b64encode(b"12345678901234567890123456789012").decode()
VECTOR = base64.b64encode(b"1234567890123456").decode()
SEALED = "1R8XaCtSuoWgDv9jT4ap7g=="  # `letmein`, by openssl with these two


def test_what_another_secret_protects_is_opened(hmp: str, qemu: str) -> None:
    check_session(
        "-M none",
        f"""
        object_add secret,id=key,data={KEY},format=base64
        object_add secret,id=short,data=short
        object_add secret,id=a,keyid=nosuch,data=abc
        object_add secret,id=a,keyid=short,data=abc
        object_add secret,id=a,keyid=short,data=abc,iv=zz
        object_add secret,id=a,keyid=key,data=abc
        object_add secret,id=a,keyid=key,data=abc,iv=zz
        object_add secret,id=a,keyid=key,data=abc,iv=!!
        object_add secret,id=a,keyid=key,data=abc,iv={VECTOR}
        object_add secret,id=a,keyid=key,data=ab!,iv={VECTOR},format=base64
        object_add secret,id=a,keyid=key,data=MTIzNDU2Nzg5MDEyMzQ1N,iv={VECTOR},format=base64
        object_add secret,id=a,keyid=key,data=MTIzNDU2Nzg5MDEyMzQ1Ngx=,iv={VECTOR},format=base64
        object_add secret,id=a,keyid=key,data=1234567890123456,iv={VECTOR}
        object_add secret,id=a,keyid=key,data=,iv={VECTOR},format=base64
        object_add secret,id=b,keyid=key,data={SEALED},iv={VECTOR},format=base64
        object_add secret,id=c,keyid=b,data={SEALED},iv={VECTOR},format=base64
        """,
        hmp,
        qemu,
    )


def test_the_standards_own_example() -> None:
    sealed = bytes.fromhex("8ea2b7ca516745bfeafc49904b496089")  # FIPS 197, C.3
    plain = decrypt_cbc(bytes(range(32)), bytes(16), sealed)
    assert plain.hex() == "00112233445566778899aabbccddeeff"


def test_what_was_sealed_is_opened() -> None:
    key, vector = base64.b64decode(KEY), base64.b64decode(VECTOR)
    assert decrypt_cbc(key, vector, base64.b64decode(SEALED)) == b"letmein" + b"\t" * 9


@given(st.binary(min_size=32, max_size=32), st.binary(min_size=16, max_size=16))
def test_blocks_are_chained(vectors: bytes, sealed: bytes) -> None:
    """A block decrypts to the same but for what comes before it."""
    key = bytes(range(32))
    first, second = vectors[:16], vectors[16:]
    one, two = decrypt_cbc(key, first, sealed), decrypt_cbc(key, second, sealed)
    assert bytes(a ^ b for a, b in zip(one, two, strict=True)) == bytes(
        a ^ b for a, b in zip(first, second, strict=True)
    )
    assert decrypt_cbc(key, first, second + sealed)[16:] == two
