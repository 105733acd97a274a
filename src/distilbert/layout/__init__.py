"""How the rows of a batch lie in memory, and the few operations that care.

Nearly every layer works token by token. What does not (positions, attention, means over a row,
taking some tokens of each row, putting tokens into rows) is asked of the layout: `Padded` rows, as
the published interface has them, or `Packed` ones, all real tokens end to end. Both give the same
numbers, to rounding.
"""

from distilbert.layout.attend import Attend as Attend
from distilbert.layout.attend import Prefix as Prefix
from distilbert.layout.packed import Packed as Packed
from distilbert.layout.padded import Padded as Padded
from distilbert.layout.tokens import Insert as Insert
from distilbert.layout.tokens import Inserted as Inserted
from distilbert.layout.tokens import Read as Read

Layout = Padded | Packed
