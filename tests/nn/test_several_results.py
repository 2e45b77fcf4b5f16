"""Several results of one picture: their seeds, their order, the first of them."""

import torch

from restore_ml.nn.several_results import several
from restore_ml.seeds import derive


def test_each_result_has_its_own_seed_and_the_first_is_the_answer() -> None:
    asked: list[tuple[int, int]] = []

    def one(number: int, seed: int) -> torch.Tensor:
        asked.append((number, seed))
        return torch.full((1, 2, 3, 4), float(len(asked))) + torch.tensor([0.0, 0.5]).view(1, 2, 1, 1)

    output = several(one, 5)
    assert asked == [(number, derive(5, "draw", number)) for number in range(8)]
    assert output["drawn"].shape == (1, 16, 3, 4)
    assert output["drawn"][0, :, 0, 0].tolist() == [1, 1.5, 2, 2.5, 3, 3.5, 4, 4.5, 5, 5.5, 6, 6.5, 7, 7.5, 8, 8.5]
    assert torch.equal(output["ab"], output["drawn"][:, :2])
