"""What is kept by content."""

from __future__ import annotations

from kdist.api.recall import Recall


def test_equal_values_are_computed_once_for_each_question() -> None:
    recall: Recall[int] = Recall()
    asked: list[str] = []

    def answer(name: str) -> int:
        asked.append(name)
        return len(asked)

    assert recall.of({"a": [1]}, lambda: answer("one")) == 1
    assert recall.of({"a": [1]}, lambda: answer("again")) == 1
    assert recall.of({"a": [2]}, lambda: answer("other")) == 2
    assert recall.of({"a": [1]}, lambda: answer("about"), about="x") == 3
    assert asked == ["one", "other", "about"]


def test_only_so_many_values_are_kept() -> None:
    recall: Recall[int] = Recall(limit=2)
    for value in range(3):
        recall.of(value, lambda value=value: value)  # type: ignore[misc]
    assert recall.of(0, lambda: 9) == 9
