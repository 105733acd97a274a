from typing import Any

import numpy as np
import pytest
import torch

from distilbert.errors import InputError
from distilbert.text.tensors import check_kind, to_lists, to_tensors


@pytest.mark.parametrize("kind", ["pt", "np"])
def test_whole_numbers_become_64_bits(kind: str) -> None:
    found = to_tensors({"a": [[1, 2], [3, 4]], "b": [5, 6], "c": [[(0, 1)], [(2, 3)]]}, kind)
    assert all("int64" in str(value.dtype) for value in found.values())
    assert {name: tuple(value.shape) for name, value in found.items()} == {
        "a": (2, 2), "b": (2,), "c": (2, 1, 2)
    }  # fmt: skip
    assert found["c"].tolist() == [[[0, 1]], [[2, 3]]]


def test_fractions_have_torchs_default_type() -> None:
    assert to_tensors({"labels": [[0.5], [1.0]]}, "pt")["labels"].dtype == torch.float32
    arrays = [np.array([0.5]), np.array([1.0])]
    assert to_tensors({"labels": arrays}, "pt")["labels"].dtype == torch.float64


def test_empty_rows_become_tensors() -> None:
    assert to_tensors({"ids": [[], []]}, "pt")["ids"].shape == (2, 0)
    assert to_tensors({"ids": []}, "np")["ids"].dtype == np.int64


def test_tensors_pass_and_change_kind() -> None:
    given = torch.tensor([[1, 2]])
    assert to_tensors({"ids": given}, "pt")["ids"] is given
    assert to_tensors({"ids": given}, "np")["ids"].tolist() == [[1, 2]]


def test_an_axis_can_be_put_before() -> None:
    assert to_tensors({"ids": [1, 2]}, "np", prepend_axis=True)["ids"].shape == (1, 2)


@pytest.mark.parametrize("rows", [[[1, 2], [3]], [[1], "ab"], [[1, None], [2, 3]], [None, None]])
def test_rows_that_are_no_rectangle_are_an_error_that_names_padding(rows: Any) -> None:
    with pytest.raises(InputError, match=r"'input_ids' cannot become a tensor.*padding=True"):
        to_tensors({"input_ids": rows}, "pt")


def test_numpy_gets_an_array_of_rows_of_different_lengths() -> None:
    found = to_tensors({"ids": [[1, 2], [3]]}, "np")["ids"]
    assert found.dtype == object
    assert [row.tolist() for row in found] == [[1, 2], [3]]


@pytest.mark.parametrize("kind", ["tf", "jax", 5, True])
def test_other_kinds_are_an_error(kind: Any) -> None:
    with pytest.raises(InputError, match="'pt'"):
        check_kind(kind)


def test_tensors_in_lists_become_lists() -> None:
    assert to_lists([torch.tensor([1, 2]), np.array([3])]) == [[1, 2], [3]]
    assert to_lists(torch.tensor(5)) == 5
    assert to_lists((1, 2)) == [1, 2]
