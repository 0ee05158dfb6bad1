"""Einsum against torch: diagonals, sums, ellipses and broadcasting."""

import pytest
import torch

from tests.converter.test_autodiff import against_torch, data, dims, tensor


@pytest.mark.parametrize(
    ("equation", "shapes"),
    [
        ("ab,bc->ac", [(2, 3), (3, 4)]),
        ("ab,bc", [(2, 3), (3, 4)]),
        ("bhqd,bhkd->bhqk", [(2, 2, 3, 4), (2, 2, 5, 4)]),
        ("ii->i", [(3, 3)]),
        ("ii", [(3, 3)]),
        ("aba->b", [(3, 2, 3)]),
        ("ab->a", [(2, 3)]),
        ("ab,cd->ad", [(2, 3), (4, 5)]),
        ("...ij,...jk->...ik", [(2, 1, 3, 4), (1, 5, 4, 2)]),
        ("...ij,jk->...ik", [(2, 3, 4), (4, 2)]),
        ("ij...->ji...", [(2, 3, 4)]),
        ("a,b,c->abc", [(2,), (3,), (4,)]),
        ("i,i->", [(3,), (3,)]),
        ("bij,bkj,k->bi", [(2, 3, 4), (2, 5, 4), (5,)]),
    ],
)
def test_einsum(equation: str, shapes: list[tuple[int, ...]]) -> None:
    names = "abc"[: len(shapes)]
    feeds = data(**dict(zip(names, shapes, strict=True)))

    def torch_form(*operands: torch.Tensor) -> torch.Tensor:
        return torch.einsum(equation, *operands)

    out = torch_form(*map(torch.tensor, feeds.values())).shape
    given = ", ".join(f"float[{dims(shape)}] {name}" for name, shape in zip(names, shapes, strict=True))
    text = f'g({given}) => ({tensor(out, "y")}) {{ y = Einsum<equation = "{equation}">({", ".join(names)}) }}'
    against_torch(text, feeds, torch_form, list(names))
