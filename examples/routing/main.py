"""Tells the topic of a text: predict('{"text": "..."}') returns the topics' probabilities as JSON."""

import json
from pathlib import Path

import joblib
import words

MODEL = Path(__file__).parent / "model.joblib"


class Main:
    def __init__(self):
        self.model = joblib.load(MODEL) if MODEL.exists() else None

    def predict(self, mlskill_input):
        if self.model is None:
            raise RuntimeError("this version has not been trained yet")
        counts = words.count([json.loads(mlskill_input)["text"]])
        classifier = self.model["classifier"]
        chances = dict(
            zip(classifier.classes_.tolist(), classifier.predict_proba(counts)[0].tolist(), strict=True)
        )
        return json.dumps({"topic": max(chances, key=chances.get), "probability": chances})
