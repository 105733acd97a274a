"""Training: `fit` a model to batches by an objective, as a recipe says."""

from distilbert.training.batches import Batch as Batch
from distilbert.training.batches import Batches as Batches
from distilbert.training.events import Begin as Begin
from distilbert.training.events import End as End
from distilbert.training.events import Evaluation as Evaluation
from distilbert.training.events import Event as Event
from distilbert.training.events import Observer as Observer
from distilbert.training.events import Step as Step
from distilbert.training.fit import fit as fit
from distilbert.training.objectives import Loss as Loss
from distilbert.training.objectives import Objective as Objective
from distilbert.training.objectives import Supervised as Supervised
from distilbert.training.recipe import Recipe as Recipe
