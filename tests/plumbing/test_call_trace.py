"""The call trace of a message: its stops, and when a reader opens a file again."""

from tests.support.call_trace import Call, Trace


def trace(*calls: tuple[str, str, str | None]) -> Trace:
    """A trace of (file, function, file of the caller), one a second."""
    return Trace([Call(float(at), *call) for at, call in enumerate(calls)])


def test_coming_back_from_a_callee_is_no_visit() -> None:
    # `consume` calls `load` in another file, and then `decide` beside itself.
    found = trace(("a", "consume", None), ("b", "load", "a"), ("a", "decide", "a"))
    assert (found.files, found.opened_again) == (["a", "b"], [])
    assert found.visits == [("a", ["consume", "decide"]), ("b", ["load"])]


def test_two_calls_of_one_file_in_a_row_are_one_visit() -> None:
    found = trace(("a", "consume", None), ("b", "load", "a"), ("b", "save", "a"))
    assert (found.files, found.opened_again) == (["a", "b"], [])


def test_a_function_that_was_read_is_not_read_again() -> None:
    found = trace(("a", "one", None), ("b", "now", "a"), ("c", "two", "a"), ("b", "now", "c"))
    assert (found.files, found.opened_again) == (["a", "b", "c"], [])


def test_another_function_of_a_file_that_was_left_opens_it_again() -> None:
    # Loaded in `b`, decided in `c`, saved in `b`.
    found = trace(("a", "one", None), ("b", "load", "a"), ("c", "decide", "a"), ("b", "save", "a"))
    assert (found.files, found.opened_again) == (["a", "b", "c"], ["b"])


def test_a_call_back_into_the_file_that_called_opens_it_again() -> None:
    found = trace(("a", "one", None), ("b", "run", "a"), ("a", "told", "b"), ("b", "end", "a"))
    assert (found.files, found.opened_again) == (["a", "b"], ["a", "b"])
