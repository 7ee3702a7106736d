"""Names the species of a flower: predict('{"sepal_length": 5.1, ...}') returns its probabilities as JSON."""

import json
from pathlib import Path

import bayes

MODEL = Path(__file__).parent / "model.json"


class Main:
    def __init__(self):
        self.model = json.loads(MODEL.read_text()) if MODEL.exists() else None

    def predict(self, mlskill_input):
        if self.model is None:
            raise RuntimeError("this version has not been trained yet")
        flower = json.loads(mlskill_input)
        chances = bayes.probabilities(self.model, flower)
        return json.dumps({"species": max(chances, key=chances.get), "probability": chances})
