"""Ids are TypeIDs, as the library reads them."""

import re
import time
import uuid

from typeid import TypeID

from shared.ids import new_id


def test_an_id_is_a_typeid_of_a_uuid_of_version_7_with_the_time_in_front() -> None:
    before = time.time_ns() // 1_000_000
    text = new_id("scheduled_change")
    after = time.time_ns() // 1_000_000
    read = TypeID.from_string(text)
    number = uuid.UUID(str(read.uuid))
    assert read.prefix == "scheduled_change"
    assert (number.version, number.variant) == (7, uuid.RFC_4122)
    assert before <= number.int >> 80 <= after


def test_ids_differ_and_sort_by_time() -> None:
    ids = [new_id("sub") for _ in range(5_000)]
    assert len(set(ids)) == 5_000
    assert all(re.fullmatch(r"sub_[0-7][0-9a-hjkmnp-tv-z]{25}", one) for one in ids)
    # Within a millisecond chance decides.
    assert [one[4:14] for one in ids] == sorted(one[4:14] for one in ids)
