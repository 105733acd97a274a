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
