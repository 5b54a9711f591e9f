"""The order of rows over epochs."""

from __future__ import annotations

from trl.trainer.utils import RepeatSampler

from visionthink.training.sampler import EpochOrder

OPTIONS = {
    "data_source": range(7),
    "mini_repeat_count": 2,
    "batch_size": 3,
    "repeat_count": 1,
    "seed": 4,
}


def test_any_epoch_is_found_again():
    """A fresh sampler that is asked for epoch 2 gives what TRL's gives as its third."""
    theirs = RepeatSampler(**OPTIONS)
    epochs = [list(theirs) for _ in range(3)]
    assert epochs[0] != epochs[1] != epochs[2]
    for epoch, expected in enumerate(epochs):
        assert list(EpochOrder(lambda epoch=epoch: epoch, **OPTIONS)) == expected


def test_without_shuffling_the_order_is_that_of_the_rows():
    found = list(EpochOrder(lambda: 3, **{**OPTIONS, "shuffle": False}))
    assert found == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5]  # row 6 fills no batch of three
