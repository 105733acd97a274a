#!/bin/sh
# What `make demo` shows: the main job on real text. Every line can be typed as it stands.
set -eu
cd "$(dirname "$0")"

show() {
    printf '\n$'
    for word in "$@"; do
        case $word in *[!a-zA-Z0-9_./-]*) printf " '%s'" "$word" ;; *) printf ' %s' "$word" ;; esac
    done
    printf '\n'
    "$@"
}

show distilbert fetch minilm
show distilbert info minilm
show distilbert tokenize 'Are tokenizers unbelievably fast?'
show python similarity.py
show distilbert search 'Can the police search my house without a reason?' --in constitution.txt --top 2
show distilbert search 'When were women allowed to vote?' --in constitution.txt --top 2
show distilbert search 'Who takes over if the president dies?' --in constitution.txt --top 2
show distilbert search 'beer and wine are forbidden' --in constitution.txt --top 2
show distilbert zoo
# The second is wrong: two negations are too much for so small a model.
show distilbert classify 'You will not regret a minute of it.' 'Nobody could call this a bad film.'
show distilbert classify 'i feel a little lost since she moved away' --model emotion
show distilbert classify 'Who was the first woman in space?' 'How far is the moon?' --model question-type
show distilbert classify 'move fifty dollars to checking' 'why is the sky blue' --model intent
show distilbert classify --in pairs.csv --pair-column text_pair --model similarity
