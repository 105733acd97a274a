"""`distilbert info`: what a checkpoint is, and whether it is sound."""

import json
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from distilbert.cli.terminal import is_terminal, visible, waiting
from distilbert.errors import DistilBertError

if TYPE_CHECKING:
    from rich.text import Text

    from distilbert.config import DistilBertConfig
    from distilbert.files.report import LoadReport

Facts = dict[str, Any]


@dataclass(frozen=True)
class Check:
    """One thing looked at: whether it is as in a sound checkpoint, and what was found."""

    name: str
    fine: bool
    found: str


def info(
    model: Annotated[
        str, typer.Argument(metavar="[MODEL]", help="A folder, a hub id, or a backbone.")
    ] = "minilm",
) -> None:
    """Show what a checkpoint is: class, sizes, parameters, files, tokenizer, and checks of it.

    The exit code is 1 if a check fails. Down a pipe it is one JSON object.

    Example: distilbert info distilbert-base-uncased
    """
    with waiting(f"loading {model}"):
        facts, checks = inspect(model)
    if is_terminal(sys.stdout):
        _show(facts, checks)
    else:
        listed = [{"check": one.name, "fine": one.fine, "found": one.found} for one in checks]
        print(json.dumps({**facts, "checks": listed}, ensure_ascii=False), flush=True)
    if not all(check.fine for check in checks):
        raise typer.Exit(1)


def inspect(name: str) -> tuple[Facts, list[Check]]:
    """The facts of a checkpoint by section, and the checks made. Raises FileError if unreadable."""
    from distilbert.config import CONFIG_NAME, DistilBertConfig
    from distilbert.files.checkpoint import load_pretrained
    from distilbert.files.find import locate, read_json

    path = locate(name).require(CONFIG_NAME)
    config = DistilBertConfig.from_pretrained(path)
    model_class = _class_of(config)
    model, report = load_pretrained(model_class, name, ignore_mismatched_sizes=True)
    tokenizer, problem = _tokenizer_of(name)
    kind = read_json(path).get("model_type", "distilbert")
    facts = {
        "model": {
            "name": name,
            "kind": kind if kind == "distilbert" else f"{kind}, read as a DistilBERT",
            "architectures": config.architectures or [],
            "loaded as": model_class.__name__,
            "folder": str(path.parent),
        },
        "sizes": _sizes(config),
        "parameters": _parameters(model),
        "files": {
            file.name: file.stat().st_size
            for file in sorted(path.parent.iterdir())
            if file.is_file() and not file.name.startswith(".")
        },
        "tokenizer": problem if tokenizer is None else _tokenizer_facts(tokenizer),
    }
    return facts, _checks(report, config, tokenizer, problem)


def _class_of(config: "DistilBertConfig") -> Any:
    """The class that the checkpoint was saved from; that of BERT's has the same ending."""
    import distilbert
    from distilbert.pipelines.tasks import CLASSES

    for name in config.architectures or []:
        own = name if name.startswith("Distil") else f"Distil{name}"
        if own in CLASSES:
            return getattr(distilbert, own)
    return distilbert.DistilBertModel


def _sizes(config: "DistilBertConfig") -> Facts:
    facts: Facts = {
        "layers": config.n_layers,
        "width": config.dim,
        "heads": config.n_heads,
        "inner width": config.hidden_dim,
        "vocabulary": config.vocab_size,
        "positions": config.max_position_embeddings,
        "activation": config.activation,
    }
    if any("Classification" in name for name in config.architectures or []):
        facts["labels"] = [config.id2label[number] for number in sorted(config.id2label)]
    return facts


def _parameters(model: Any) -> Facts:
    encoder = sum(p.numel() for p in model.base_model.transformer.parameters())
    embeddings = sum(p.numel() for p in model.base_model.embeddings.parameters())
    total = model.num_parameters()
    return {
        "embeddings": embeddings,
        "layers": encoder,
        "head": total - embeddings - encoder,
        "total": total,
        "bytes in memory": sum(p.numel() * p.element_size() for p in model.parameters()),
    }


def _tokenizer_of(name: str) -> tuple[Any, str]:
    """The tokenizer, or None and what is wrong with it."""
    from distilbert.text.fast import DistilBertTokenizerFast

    try:
        return DistilBertTokenizerFast.from_pretrained(name), ""
    except DistilBertError as error:
        return None, str(error)


def _tokenizer_facts(tokenizer: Any) -> Facts:
    return {
        "tokens": len(tokenizer),
        "lower case": tokenizer.do_lower_case,
        "longest text": tokenizer.model_max_length,
        "special tokens": {
            token: tokenizer.convert_tokens_to_ids(token) for token in tokenizer.all_special_tokens
        },
    }


def _checks(
    report: "LoadReport", config: "DistilBertConfig", tokenizer: Any, problem: str
) -> list[Check]:
    wrong_shapes = [key for key, _, _ in report.mismatched]
    checks = [
        Check("weights that are missing", not report.missing, _listed(report.missing)),
        Check("weights of a wrong shape", not wrong_shapes, _listed(wrong_shapes)),
        Check("weights that are not finite", not report.not_finite, _listed(report.not_finite)),
        Check("weights without a use", True, _listed(report.unexpected)),
    ]
    for why in dict.fromkeys(report.left_out.values()):
        keys = [key for key, reason in report.left_out.items() if reason == why]
        checks.append(Check("left out of a BERT", True, f"{_listed(keys)} ({why})"))
    if tokenizer is None:
        checks.append(Check("tokenizer", False, problem))
    else:
        fits = len(tokenizer) <= config.vocab_size
        found = f"{len(tokenizer):,} tokens, {config.vocab_size:,} embeddings"
        checks.append(Check("tokens with an embedding", fits, found))
    return checks


def _listed(keys: list[str]) -> str:
    more = f" and {len(keys) - 6} more" if len(keys) > 6 else ""
    return ", ".join(keys[:6]) + more if keys else "none"


def _show(facts: Facts, checks: list[Check]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    for section, values in facts.items():
        table = Table(section, "", box=SIMPLE_HEAD, pad_edge=False, min_width=40)
        table.columns[1].overflow = "fold"
        for name, value in values.items() if isinstance(values, dict) else [("", values)]:
            table.add_row(_shown(name), _shown(_words(value, bytes_=section == "files")))
        console.print(table)
    table = Table("check", "", "", box=SIMPLE_HEAD, pad_edge=False)
    for check in checks:
        mark = Text("ok", "green") if check.fine else Text("FAILS", "bold red")
        table.add_row(_shown(check.name), mark, _shown(check.found))
    console.print(table)


def _shown(text: str) -> "Text":
    from rich.text import Text

    return Text(visible(text), overflow="fold")


def _words(value: Any, *, bytes_: bool) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,} bytes" if bytes_ else f"{value:,}"
    if isinstance(value, dict):
        return ", ".join(f"{name} {number}" for name, number in value.items())
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none said"
    return str(value)
