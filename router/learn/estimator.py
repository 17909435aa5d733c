"""Parameters read and set by name, as scikit-learn's tools expect of an estimator."""

from __future__ import annotations

import inspect
from typing import Any, Self


class Estimator:
    """Keeps every parameter of its `__init__` as given, under the parameter's name, and learns nothing there."""

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """What it was made with, by name; none of them has parameters of its own, so `deep` changes nothing."""
        names = list(inspect.signature(type(self).__init__).parameters)[1:]
        return {name: getattr(self, name) for name in names}

    def set_params(self, **params: Any) -> Self:
        """Change what the next `fit` goes by. Raises `ValueError` for a name that is no parameter."""
        known = self.get_params()
        for name, value in params.items():
            if name not in known:
                raise ValueError(f"{type(self).__name__} has no parameter {name!r}. Remedy: one of {', '.join(known)}")
            setattr(self, name, value)
        return self
