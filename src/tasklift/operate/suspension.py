"""What a suspended certificate changes: nothing is answered without a person any more."""

from __future__ import annotations

from dataclasses import replace

from tasklift.prediction import Prediction

#: Note of a prediction that was left to people for this reason.
SUSPENDED = "suspended"


def left_to_people(prediction: Prediction) -> Prediction:
    """An answer whose certificate is suspended, deferred: what was to be said is the suggestion for a person. One that
    is deferred already, or failed, stays as it is."""
    if prediction.deferred or prediction.error is not None:
        return prediction
    suggestions = prediction.children or (prediction,)
    notes = {**prediction.notes, "stage": "human", SUSPENDED: True}
    return replace(prediction, output=None, scores=None, deferred=True, children=suggestions, notes=notes)
