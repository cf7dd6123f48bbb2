"""License keys: readable, and a typing error is found without asking anybody."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallystick.licensing import ALPHABET, KEY_BYTES, LicenseKeyError, format_key, normalize_key

KEY = format_key(bytes(range(KEY_BYTES)))
SECRETS = st.binary(min_size=KEY_BYTES, max_size=KEY_BYTES)
PLACES = [place for place, character in enumerate(KEY) if place > 3 and character != "-"]


def test_a_key_has_the_form_that_is_documented() -> None:
    assert KEY == "TSL-000G40R4-0M30E209-185GR38E-1W8124GK-C"


@given(SECRETS)
def test_a_key_is_read_as_it_was_written(secret: bytes) -> None:
    key = format_key(secret)
    assert normalize_key(key) == key
    assert normalize_key(f"  {key.lower().replace('-', ' ')}\n") == key
    assert normalize_key(key.removeprefix("TSL-").replace("0", "o").replace("1", "l")) == key


@given(SECRETS, st.sampled_from(PLACES), st.sampled_from(ALPHABET))
def test_one_wrong_character_is_found(secret: bytes, place: int, character: str) -> None:
    key = format_key(secret)
    typed = key[:place] + character + key[place + 1 :]
    if typed != key:
        with pytest.raises(LicenseKeyError):
            normalize_key(typed)


@given(SECRETS, st.integers(0, len(PLACES) - 2))
def test_swapped_neighbours_are_found(secret: bytes, first: int) -> None:
    key = format_key(secret)
    typed = list(key)
    here, there = PLACES[first], PLACES[first + 1]
    typed[here], typed[there] = typed[there], typed[here]
    if typed != list(key):
        with pytest.raises(LicenseKeyError):
            normalize_key("".join(typed))


@pytest.mark.parametrize("typed", ["", "TSL", KEY[:-1], KEY + "0", KEY.replace("K", "U"), "x" * 10_000])
def test_what_is_no_key_is_found(typed: str) -> None:
    with pytest.raises(LicenseKeyError):
        normalize_key(typed)
