"""The part of scikit-learn's contract that has to do with no model: parameters by name, and what is only there fitted.

scikit-learn itself is not imported: serving has no need of it, and who asks for its tags has it loaded.
"""

from __future__ import annotations

import inspect
import sys
from typing import TYPE_CHECKING, Any, NoReturn, Self


class NotFittedError(ValueError, AttributeError):
    """Something was asked that only `fit` can tell; of the two kinds that scikit-learn's error of this name is of."""


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

    def __sklearn_tags__(self) -> Any:
        """What `check_is_fitted`, `is_classifier` and others of scikit-learn 1.6 and later ask first."""
        known = sys.modules["sklearn.utils"]
        classifier = {"classifier_tags": known.ClassifierTags(), "target_tags": known.TargetTags(required=True)}
        return known.Tags(estimator_type="classifier", **classifier)

    if not TYPE_CHECKING:  # else no name would be unknown to a type checker

        def __getattr__(self, name: str) -> NoReturn:
            """Only asked for what is not there, so that it costs a fitted estimator nothing."""
            kind, fitted = type(self).__name__, any(known.endswith("_") for known in vars(self))
            learnt = name.strip("_") != name and not name.startswith("__")
            if learnt and not fitted:
                raise NotFittedError(f"this {kind} is not fitted yet, so it has no {name!r}. Remedy: call fit first")
            raise AttributeError(f"{kind} has no {name!r}", name=name, obj=self)
