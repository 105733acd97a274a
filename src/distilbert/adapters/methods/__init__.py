"""What hangs in the slots: one file per kind of method, each of which registers its builders."""

from distilbert.adapters.methods import bottleneck as bottleneck
from distilbert.adapters.methods import invertible as invertible
from distilbert.adapters.methods import lora as lora
from distilbert.adapters.methods import phm as phm
from distilbert.adapters.methods import prefix as prefix
from distilbert.adapters.methods import prompt as prompt
from distilbert.adapters.methods import reft as reft
