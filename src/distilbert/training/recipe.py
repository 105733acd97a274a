"""What decides the numbers of a run of training, beside the model and the data."""

from dataclasses import dataclass

from distilbert.errors import InputError

SCHEDULES = ("linear", "cosine", "constant", "wsd")
PRECISIONS = ("float32", "bfloat16", "float16")
