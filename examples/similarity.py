"""How near in meaning sentences are: the cosines of their embeddings."""

from distilbert import pipeline

SENTENCES = [
    "A man is eating food.",
    "Someone is having a meal.",
    "The stock market fell sharply today.",
    "Shares lost much of their value.",
    "A cheetah runs behind its prey.",
]

embeddings = pipeline("sentence-embedding")(SENTENCES)  # (sentences, 384), of length 1
cosines = embeddings @ embeddings.T
for sentence, row in zip(SENTENCES, cosines, strict=True):
    print(f"{sentence:38}", *(f"{cosine:5.2f}" for cosine in row))
