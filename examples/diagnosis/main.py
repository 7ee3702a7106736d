"""Classifies one row: predict('{"mean_radius": 17.99, ...}') returns the answer and its probabilities as JSON."""

import json
from pathlib import Path

import joblib

MODEL = Path(__file__).parent / "model.joblib"


class Main:
    def __init__(self):
        self.model = joblib.load(MODEL) if MODEL.exists() else None

    def predict(self, mlskill_input):
        if self.model is None:
            raise RuntimeError("this version has not been trained yet")
        row = json.loads(mlskill_input)
        # The pipeline would silently take a missing number for zero.
        if missing := [column for column in self.model["columns"] if column not in row]:
            raise ValueError(f"missing: {', '.join(missing)}")
        pipeline = self.model["pipeline"]
        chances = dict(
            zip(pipeline.classes_.tolist(), pipeline.predict_proba([row])[0].tolist(), strict=True)
        )
        return json.dumps({self.model["target"]: max(chances, key=chances.get), "probability": chances})
