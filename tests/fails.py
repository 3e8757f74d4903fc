"""How tests watch an error that a user can mend."""

import pytest

from taskfusion_jax.errors import UserError


def fails(call, *words):
    """Asserts a UserError of one line that holds all words."""
    with pytest.raises(UserError) as caught:
        call()
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert str(word) in message, message
