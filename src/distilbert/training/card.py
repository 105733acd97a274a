"""README.md of a run: what was trained, on what, how good it is, and how to load it."""

import math
import os
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from distilbert.adapters.stored import SETUP
from distilbert.data.kinds import KINDS
from distilbert.files.atomic import make_folder, write_text
from distilbert.files.backbones import BACKBONES
from distilbert.training.curves import CURVES
from distilbert.training.record import NAME

CARD = "README.md"
_HUB_ID = re.compile(r"[a-z0-9][\w.-]*(/[a-z0-9][\w.-]*)?", re.ASCII | re.IGNORECASE)


@dataclass(frozen=True)
class Use:
    """How a kind of model is used. tag: What the hub calls the task. what: In words.

    call: Of its pipeline, and command: what stands behind `distilbert`, for one example; None where
    there is none.
    """

    tag: str
    what: str
    call: str | None = None
    command: str | None = None


_CLASSIFY = ('use("some text")', 'classify "some text"')
USES = {
    "classification": Use("text-classification", "tells classes of texts apart", *_CLASSIFY),
    "regression": Use("text-classification", "gives a number for a text", *_CLASSIFY),
    "multi_label": Use(
        "text-classification",
        "says which labels, none or several, a text has",
        'use("some text", top_k=None)',
        'classify "some text" --top 100',
    ),
    "choice": Use("multiple-choice", "says which of several texts follows a text"),
    "tags": Use("token-classification", "tags words", 'use("some text")', 'tag "some text"'),
    "spans": Use(
        "question-answering",
        "answers questions out of a context",
        'use(question="who?", context="some text")',
        'answer "who?" --context "some text"',
    ),
    "words": Use("fill-mask", "guesses hidden words", 'use("some [MASK]")', 'fill "some [MASK]"'),
}
"""Of each kind of problem, how its models are used."""

_HUB_METRICS = {
    "matthews": "matthews_correlation",
    "pearson": "pearsonr",
    "spearman": "spearmanr",
    "macro_f1": "f1",
    "micro_f1": "f1",
    "weighted_f1": "f1",
}
"""What the hub calls a metric, where it is not our name."""


def write_card(
    folder: str | os.PathLike[str],
    *,
    kind: str,
    task: str | None,
    labels: Sequence[str],
    base: str,
    adapter: str | None,
    scores: Mapping[str, float],
    record: Mapping[str, Any],
    how_to_load: str | None = None,
) -> None:
    """Writes README.md, a model card that the Hugging Face hub reads, into the folder of a run.

    kind: A key of `KINDS`. task: What the data are called; None for files of one's own. labels: The
    names of classes or tags, in the order of their ids. base: What was trained, or hangs in it.
    adapter: Its name, where an adapter was trained; None for a whole model. scores: On the data
    that `record` (see `run_record`) has beside "train". how_to_load: Python, in place of our own.

    Raises FileError if it cannot be written.
    """
    folder = Path(folder)
    title = folder.resolve().name
    fused = (folder / SETUP).is_file()
    method = "load_adapter_setup" if fused else "load_adapter" if adapter else None
    code = how_to_load or _code(title, kind, labels, base, method)
    body = [
        *_head(title, kind, task, base, method),
        *_labels(labels),
        *_scores(scores),
        *(["", f"![loss, scores and learning rate]({CURVES})"] if _has_curves(folder) else []),
        *_use(title, kind, adapter, code),
        *_data(record),
        *_training(record),
        *_repeat(record),
    ]
    front = _front(title, kind, task, base, adapter, scores, record)
    make_folder(folder)
    write_text(folder / CARD, f"---\n{front.strip()}\n---\n\n" + "\n".join(body) + "\n")


def _front(
    title: str,
    kind: str,
    task: str | None,
    base: str,
    adapter: str | None,
    scores: Mapping[str, float],
    record: Mapping[str, Any],
) -> str:
    """The front matter, in YAML."""
    from huggingface_hub import ModelCardData

    results = [*_results(kind, task, scores, record)]
    hub_id = _hub_id(base)
    more: dict[str, Any] = (
        {"base_model_relation": "adapter" if adapter else "finetune"} if hub_id else {}
    )
    data = ModelCardData(
        library_name="distilbert",
        pipeline_tag=USES[kind].tag,
        base_model=hub_id,
        tags=["distilbert", *([task] if task else []), *(["adapter"] if adapter else [])],
        model_name=title if results else None,
        eval_results=results or None,
        **more,
    )
    return data.to_yaml()


def _results(
    kind: str, task: str | None, scores: Mapping[str, float], record: Mapping[str, Any]
) -> Iterator[Any]:
    """Each score as the hub has it: which metric, on which part of which data."""
    from huggingface_hub import EvalResult

    parts = [part for part in record.get("data", {}) if part != "train"]
    for name, value in scores.items():
        if not math.isfinite(value):
            continue
        part = next((part for part in parts if name.startswith(f"{part}_")), "")
        metric = name.removeprefix(f"{part}_") if part else name
        yield EvalResult(
            task_type=USES[kind].tag,
            dataset_type=task or "own",
            dataset_name=task or "files of one's own",
            dataset_split=part or (parts[0] if len(parts) == 1 else None),
            metric_type=_HUB_METRICS.get(metric, metric),
            metric_name=metric,
            metric_value=value,
        )


def _hub_id(base: str) -> str | None:
    """What the hub calls the model; None for a folder."""
    if base in BACKBONES:
        return BACKBONES[base].hub_id
    return base if _HUB_ID.fullmatch(base) and not Path(base).exists() else None


# Sections, as lines -------------------------------------------------------------------------------


def _head(title: str, kind: str, task: str | None, base: str, method: str | None) -> list[str]:
    what = {
        None: f"{_mono(base)}, trained further,",
        "load_adapter": f"An adapter for {_mono(base)}",
        "load_adapter_setup": f"A fusion of adapters for {_mono(base)}",
    }[method]
    data = f", on {_plain(task)}" if task else ""
    return [f"# {_plain(title)}", "", f"{what} that {USES[kind].what}{data}."]


def _labels(labels: Sequence[str]) -> list[str]:
    if not labels:
        return []
    listed = ", ".join(map(_mono, labels))
    return ["", "## Labels", "", f"{len(labels)}, in the order of their ids: {listed}."]


def _scores(scores: Mapping[str, float]) -> list[str]:
    if not scores:
        return []
    rows = [(_mono(name), f"{value:,.4f}") for name, value in scores.items()]
    return ["", "## Scores", "", *_table(("score", "value"), rows)]


def _use(title: str, kind: str, adapter: str | None, code: str) -> list[str]:
    lines = ["", "## How to load it", "", "```python", *code.strip().splitlines(), "```"]
    command = USES[kind].command
    if command and not adapter:
        lines += [
            "",
            "On the command line:",
            "",
            "```sh",
            f"distilbert {command} --model {shlex.quote(title)}",
            "```",
        ]
    return lines


def _code(title: str, kind: str, labels: Sequence[str], base: str, method: str | None) -> str:
    """What loads it, and uses it where there is a pipeline. method: That loads an adapter."""
    use = USES[kind]
    own = KINDS[kind].model
    run = f"use = pipeline({use.tag!r}, model=%s)\nprint({use.call})"
    names = ", ".join(sorted([own, "DistilBertTokenizerFast"]))
    if method is None:
        if use.call:
            return f"from distilbert import pipeline\n\n{run % repr(title)}"
        return (
            f"from distilbert import {names}\n\n"
            f"model = {own}.from_pretrained({title!r})\n"
            f"tokenizer = DistilBertTokenizerFast.from_pretrained({title!r})"
        )
    count = {"regression": 1}.get(kind, len(labels))
    settings = f", num_labels={count}" if count else ""
    piped = ", pipeline" if use.call else ""
    return "\n".join(
        [
            f"from distilbert import {names}{piped}",
            "",
            f"model = {own}.from_pretrained({base!r}{settings})",
            f"model.{method}({title!r}, set_active=True)",
            f"tokenizer = DistilBertTokenizerFast.from_pretrained({base!r})",
            *([run % "model, tokenizer=tokenizer"] if use.call else []),
        ]
    )


def _data(record: Mapping[str, Any]) -> list[str]:
    rows = []
    for part, data in record.get("data", {}).items():
        count = f"{data['examples']:,}"
        rows += [
            (part, count, _mono(file["path"]), f"{file['bytes']:,}") for file in data["files"]
        ] or [(part, count, "", "")]
    if not rows:
        return []
    return ["", "## Data", "", *_table(("part", "examples", "file", "bytes"), rows)]


def _training(record: Mapping[str, Any]) -> list[str]:
    model, end = record.get("model", {}), record.get("end", {})
    lines = ["", "## Training", ""]
    if model:
        lines.append(f"{model['trained']:,} of {model['parameters']:,} parameters were trained.")
    if end:
        early = ", stopped early" if end["stopped_early"] else ""
        took = f" in {_duration(end['seconds'])}" if end["seconds"] else ""
        lines.append(f"The run had {end['steps']:,} updates{took}{early}.")
    if end and end["best"]:
        lines.append(f"The best evaluation came after update {end['best']['step']:,}.")
    settings = _settings(record)
    rows = [(_mono(name), _value(value)) for name, value in settings.items() if value is not None]
    return [*lines, "", *_table(("setting", "value"), rows)]


def _settings(record: Mapping[str, Any]) -> dict[str, Any]:
    """What decided the numbers, beside model and data."""
    recipe, batches = dict(record.get("recipe", {})), record.get("batches", {})
    if recipe.get("steps") is not None:
        del recipe["epochs"]  # steps take its place
    masking = {f"masking_{name}": value for name, value in (batches.get("masking") or {}).items()}
    sizes = {name: batches.get(name) for name in ("batch_size", "token_budget")}
    objective = {name: own for name, own in record.get("objective", {}).items() if name != "name"}
    return {**recipe, **sizes, **masking, **objective}


def _repeat(record: Mapping[str, Any]) -> list[str]:
    versions = ", ".join(f"{name} {own}" for name, own in record.get("versions", {}).items())
    command = record.get("arguments", {}).get("command")
    lines = ["", "## How to repeat it", ""]
    if command:
        lines += ["```sh", shlex.join(map(str, command)), "```", ""]
    lines.append(
        f"`{NAME}` holds every setting, hashes of data and weights, and the machine. On a device "
        "of the same kind, with as many threads, the numbers are the same."
    )
    if versions:
        lines += ["", f"Made on {record.get('date', '')[:10]} with {versions}."]
    return lines


# Markdown -----------------------------------------------------------------------------------------


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Rows of Markdown, in which a bar is a bar."""
    cells = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    return [f"| {' | '.join(line)} |" for line in (head, ["---"] * len(head), *cells)]


def _plain(text: str) -> str:
    """Text that Markdown shows as it is."""
    return re.sub(r"([\\`*_<>\[\]])", r"\\\1", " ".join(text.split()))


def _mono(text: str) -> str:
    """Text in the letters of code, with more ticks around it than it holds."""
    ticks = "`" * (max(map(len, re.findall("`+", text)), default=0) + 1)
    room = " " if "`" in text else ""
    return f"{ticks}{room}{' '.join(text.split())}{room}{ticks}"


def _value(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _duration(seconds: float) -> str:
    minutes = round(seconds / 60)
    if minutes < 1:
        return f"{seconds:.0f} seconds"
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def _has_curves(folder: Path) -> bool:
    return (folder / CURVES).is_file()
