"""Read the folders of PEFT: LoRA and (IA)³ for a DistilBERT.

Which modules are adapted is read off the weights. What PEFT can say and this package cannot compute
exactly is refused with the reason.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor

from distilbert.adapters.archive import read_tensors
from distilbert.adapters.configs import AdapterConfig, ConfigUnion, IA3Config, LoRAConfig
from distilbert.adapters.foreign import PREFIX, split_key
from distilbert.adapters.stored import (
    BASE_CLASS,
    FLEXIBLE_CLASS,
    MODEL_TYPE,
    PEFT,
    StoredAdapter,
    StoredHead,
    check_numbers,
)
from distilbert.errors import AdapterError
from distilbert.files.find import Source, read_json

NAME = "default"  # PEFT's files hold no name; this is what PEFT itself calls what it loads
ROOT = "base_model.model."
_LAYERS = 48  # a file does not say how deep its model was; deeper models miss weights and say so
SITES = {  # module → the setting of LoRAConfig, the value in it
    "attention.q_lin": ("attn_matrices", "q"),
    "attention.k_lin": ("attn_matrices", "k"),
    "attention.v_lin": ("attn_matrices", "v"),
    "attention.out_lin": ("attn_matrices", "out"),
    "ffn.lin1": ("intermediate_lora", True),
    "ffn.lin2": ("output_lora", True),
}
_MODULE = re.compile(rf"(transformer\.layer\.(0|[1-9][0-9]?)\.({'|'.join(map(re.escape, SITES))}))")
TASKS = {  # the class of a task of PEFT; modules of its head
    "SEQ_CLS": ("DistilBertForSequenceClassification", ("pre_classifier", "classifier")),
    "TOKEN_CLS": ("DistilBertForTokenClassification", ("classifier",)),
    "QUESTION_ANS": ("DistilBertForQuestionAnswering", ("qa_outputs",)),
}
HEAD_MODULES = {
    **dict(TASKS.values()),
    "DistilBertForMultipleChoice": ("pre_classifier", "classifier"),
    "DistilBertForMaskedLM": ("vocab_transform", "vocab_layer_norm", "vocab_projector"),
}

# Reading ------------------------------------------------------------------------------------------


def read_peft(
    source: Source, *, with_head: bool = True, use_safetensors: bool | None = None
) -> StoredAdapter:
    """The adapter of a PEFT folder, named "default", and the head saved with it.

    Raises FileError if files are missing or damaged, AdapterError if they hold what is no LoRA or
    (IA)³ of a DistilBERT, or one that cannot be computed here exactly.
    """
    path = source.require(PEFT[0])
    data, where = read_json(path), repr(str(path))
    check_numbers({name: data.get(name) for name in ("r", "rank_pattern", "lora_alpha")}, where)
    check_numbers(data.get("alpha_pattern"), where, "alpha_pattern")
    kind = data.get("peft_type")
    if kind not in ("LORA", "IA3"):  # any JSON may stand there
        raise AdapterError(
            f"{where} says peft_type {kind!r:.60}; allowed: 'LORA', 'IA3'. The other methods of "
            "PEFT compute what no adapter of this package does"
        )
    _refuse_settings(data, where)
    tensors = read_tensors(source, PEFT, use_safetensors)
    weights, head, prefix = _parts_of(tensors, where)
    config = _config(data, weights, prefix, where)
    info = {
        "model_type": MODEL_TYPE,
        "model_class": _class_of(data, head, prefix),
        "model_name": data.get("base_model_name_or_path") or "",
        "hidden_size": _width(weights),
        **{key: data[key] for key in ("task_type", "peft_version", "revision") if data.get(key)},
    }
    stored_head = _head(head, info) if head and with_head else None
    return StoredAdapter(NAME, config, info, weights, stored_head)


def _parts_of(
    tensors: Mapping[str, Tensor], where: str
) -> tuple[dict[str, Tensor], dict[str, Tensor], str]:
    """The encoder's weights under our keys, the head's, and how the encoder's modules start: with
    "distilbert.", or as those of the base class."""
    weights: dict[str, Tensor] = {}
    head: dict[str, Tensor] = {}
    prefixes = set()
    for key, tensor in tensors.items():
        module, part = _parted(key, where)
        match = _MODULE.fullmatch(module.removeprefix(PREFIX))
        if match and part and int(match[2]) < _LAYERS:
            prefixes.add(PREFIX if module.startswith(PREFIX) else "")
            weights[f"{match[1]}.loras.{NAME}.{'lora_B' if part == 'ia3_l' else part}"] = tensor
        elif part == "" and not module.startswith((PREFIX, "transformer.", "embeddings.")):
            head[module] = tensor
        else:
            raise _no_place(key, where)
    if len(prefixes) > 1 or len(weights) + len(head) < len(tensors):
        raise AdapterError(
            f"the weights beside {where} hold one module under two names; take it anew, from one "
            "training"
        )
    return weights, head, PREFIX if PREFIX in prefixes else ""


def _head(weights: dict[str, Tensor], info: Mapping[str, Any]) -> StoredHead:
    """The head of a fixed class, which has as many labels as its last layer has rows."""
    about = {name: info[name] for name in _ABOUT}
    last = weights.get("classifier.weight", weights.get("qa_outputs.weight"))
    if last is not None and last.ndim == 2:
        about["num_labels"] = last.shape[0]
    return StoredHead(None, None, about, weights)


_ABOUT = ("model_type", "model_class", "model_name", "hidden_size")  # what a head's file says too
_IGNORED = frozenset(
    {
        # what is read
        *("peft_type", "r", "lora_alpha", "rank_pattern", "alpha_pattern", "use_rslora"),
        *("lora_dropout", "task_type", "base_model_name_or_path", "revision", "peft_version"),
        # what the weights say too
        *("target_modules", "exclude_modules", "layers_to_transform", "layers_pattern"),
        *("modules_to_save", "feedforward_modules", "ensure_weight_tying", "auto_mapping"),
        # how training starts and runs; what Linear layers do not heed
        *("init_ia3_weights", "loftq_config", "eva_config", "corda_config", "lora_ga_config"),
        *("inference_mode", "megatron_config", "megatron_core", "merge_weights", "runtime_config"),
        *("fan_in_fan_out", "qalora_group_size"),
    }
)
_REASONS = {
    "use_dora": "PEFT's norm has the scale in it and leaves the bias out, and ours does not",
    "lora_bias": "a bias beside the product has no place here",
    "trainable_token_indices": "embeddings are no part of an adapter here",
    "target_parameters": "only whole linear layers are adapted here",
    "layer_replication": "layers are not repeated here",
}
_PLAIN_STARTS = (None, True, False, "gaussian", "eva", "orthogonal", "mica")


def _refuse_settings(data: Mapping[str, Any], where: str) -> None:
    """Raises AdapterError for settings that change what is computed, and are not known here."""
    if data.get("bias", "none") != "none":
        raise AdapterError(
            f"{where} says bias {data['bias']!r:.60}; allowed: 'none'. Trained biases belong to "
            "the model and not to the adapter; use merge_and_unload of PEFT and load that model"
        )
    start = data.get("init_lora_weights")
    if start not in _PLAIN_STARTS:
        raise AdapterError(
            f"{where} says init_lora_weights {start!r:.60}; allowed: true, false, "
            f"{', '.join(map(repr, _PLAIN_STARTS[3:]))}. Others change the model beneath as well; "
            "convert it with PEFT's save_pretrained(…, path_initial_model_for_weight_conversion=…)"
        )
    for name, value in data.items():
        if value and name not in {*_IGNORED, "bias", "init_lora_weights"}:
            why = _REASONS.get(name, "it may change what is computed, and is not known here")
            raise AdapterError(
                f"{where} says {name} {value!r:.60}; allowed: null or false, as {why}. Merge it in "
                "PEFT (merge_and_unload) and load the model"
            )


_PART = re.compile(r"(.+?)\.(?:(lora_A|lora_B)(?:\.default)?\.weight|(ia3_l)(?:\.default)?)")


def _parted(key: str, where: str) -> tuple[str, str]:
    """The module's path without PEFT's own, and which matrix this is: "" for none of an adapter."""
    if not key.startswith(ROOT):
        raise _no_place(key, where)
    path = key.removeprefix(ROOT)
    match = _PART.fullmatch(path)
    if match:
        return match[1], match[2] or match[3]
    return path.replace(".modules_to_save.default.", ".").replace(".modules_to_save.", "."), ""


def _no_place(key: str, where: str) -> AdapterError:
    return AdapterError(
        f"{key!r}, a weight beside {where}, has no place in a DistilBERT with adapters; allowed: "
        f"LoRA and (IA)³ on {', '.join(SITES)} of layers 0 to {_LAYERS - 1}, and whole heads"
    )


def _config(
    data: Mapping[str, Any], weights: Mapping[str, Tensor], prefix: str, where: str
) -> AdapterConfig:
    """The configuration whose modules are exactly those of the weights."""
    layers: dict[str, set[int]] = {}
    for key in weights:
        _, layer, site = place_of(key)
        layers.setdefault(site, set()).add(layer)
    if not layers:
        raise AdapterError(f"beside {where} are no weights of LoRA or (IA)³; take it anew, whole")
    scaled = data["peft_type"] == "IA3"
    if scaled:
        _check_ia3(weights, where)
    numbers = {} if scaled else _lora_numbers(data, weights, prefix, where)
    groups: dict[frozenset[int], list[str]] = {}
    for site in SITES:
        if site in layers:
            groups.setdefault(frozenset(layers[site]), []).append(site)
    parts = [
        _member(IA3Config if scaled else LoRAConfig, sites, present, _depth(data, layers), numbers)
        for present, sites in groups.items()
    ]
    try:
        configs = [kind(**settings) for kind, settings in parts]
    except AdapterError as error:
        raise AdapterError(f"{where}: {error}") from error
    return configs[0] if len(configs) == 1 else ConfigUnion(*configs)


def _member(
    kind: type[LoRAConfig],
    sites: Iterable[str],
    present: Iterable[int],
    depth: int,
    numbers: Mapping[str, Any],
) -> tuple[type[LoRAConfig], dict[str, Any]]:
    settings: dict[str, Any] = {"selfattn_lora": False, "intermediate_lora": False}
    letters = []
    for site in sites:
        name, value = SITES[site]
        if name == "attn_matrices":
            letters.append(value)
        else:
            settings[name] = value
    if letters:
        settings |= {"selfattn_lora": True, "attn_matrices": letters}
    settings["leave_out"] = [layer for layer in range(depth) if layer not in {*present}]
    for name, value in numbers.items():
        settings[name] = value
        if isinstance(value, dict):  # by module: those of this member
            settings[name] = {
                path: number for path, number in value.items() if path.endswith(tuple(sites))
            }
    return kind, settings


def _depth(data: Mapping[str, Any], layers: Mapping[str, set[int]]) -> int:
    """How many layers the model has, at most: those without weights are left out."""
    names = data.get("target_modules")
    in_all = isinstance(names, list) and not any(re.search(r"(^|\.)\d+\.", str(n)) for n in names)
    if in_all and data.get("layers_to_transform") is None and not data.get("exclude_modules"):
        return 1 + max(max(found) for found in layers.values())
    return _LAYERS


def _lora_numbers(
    data: Mapping[str, Any], weights: Mapping[str, Tensor], prefix: str, where: str
) -> dict[str, Any]:
    """r, alpha and the like, with patterns resolved to modules."""
    ranks, alphas = ranks_of(weights, NAME, f"the weights beside {where}"), {}
    for path, rank in ranks.items():
        said = _by_pattern(data, "rank_pattern", prefix + path, data.get("r", 8), where)
        if said != rank:
            raise AdapterError(
                f"{where} says r {said!r:.60} for {path!r}, whose weights have {rank}; "
                "take it anew, configuration and weights of one training"
            )
        alphas[path] = _by_pattern(
            data, "alpha_pattern", prefix + path, data.get("lora_alpha", 8), where
        )
    rank, alpha = (Counter(found.values()).most_common(1)[0][0] for found in (ranks, alphas))
    return {
        "r": rank,
        "alpha": alpha,
        "dropout": data.get("lora_dropout") or 0.0,
        "use_rslora": bool(data.get("use_rslora", False)),
        "rank_pattern": {path: r for path, r in ranks.items() if r != rank},
        "alpha_pattern": {path: a for path, a in alphas.items() if a != alpha},
    }


def ranks_of(weights: Mapping[str, Tensor], name: str, where: str) -> dict[str, int]:
    """The rank of each adapted module. Raises AdapterError where the two matrices do not fit."""
    ranks = {}
    for key in weights:
        path, _, _ = place_of(key, name)
        down, up = (weights.get(f"{path}.loras.{name}.{part}") for part in ("lora_A", "lora_B"))
        if down is None or up is None or not _fit(down, up):
            raise AdapterError(
                f"{where} have lora_A of shape {_shape(down)} and lora_B of shape {_shape(up)} for "
                f"{path!r}; allowed: (r, in) and (out, r)"
            )
        ranks[path] = len(down)
    return ranks


def _fit(down: Tensor, up: Tensor) -> bool:
    """Whether (r, in) and (out, r)."""
    flat = down.ndim == up.ndim == 2 and down.numel() > 0 and up.numel() > 0
    return flat and down.shape[0] == up.shape[1]


def _check_ia3(weights: Mapping[str, Tensor], where: str) -> None:
    for key, tensor in weights.items():
        if key.endswith(".lora_A") or tensor.ndim != 2 or tensor.shape[1] != 1:
            raise AdapterError(
                f"the weights beside {where} have the shape {_shape(tensor)} for "
                f"{place_of(key)[0]!r}; allowed: (out, 1). Those of feedforward_modules scale what "
                "comes in, and here only what goes out can be scaled"
            )


def _shape(tensor: Tensor | None) -> str:
    return "none" if tensor is None else str(tuple(tensor.shape))


def place_of(key: str, name: str = NAME) -> tuple[str, int, str]:
    """Module path, layer and site of a key of ours. Raises AdapterError for any other place."""
    place = split_key(key)
    match = _MODULE.fullmatch(place[0].removesuffix(".loras")) if place else None
    if place is None or match is None or place[1] != name:
        raise AdapterError(
            f"{key!r} has no place in a file of PEFT; allowed: LoRA and (IA)³ of {name!r} alone"
        )
    return match[1], int(match[2]), match[3]


def _by_pattern(data: Mapping[str, Any], name: str, path: str, default: Any, where: str) -> Any:
    """What the first pattern that a module's path ends with says, else the default."""
    patterns = data.get(name) or {}
    if not isinstance(patterns, dict):
        raise AdapterError(f"{where} says {name} {patterns!r:.60}; allowed: patterns with numbers")
    for pattern, value in patterns.items():
        _check_pattern(pattern, f"{where}, under {name!r},")
        if re.match(rf"(.*\.)?({pattern})$", path):
            default = value
            break
    if isinstance(default, bool) or not isinstance(default, (int, float)):
        raise AdapterError(f"{where} says {default!r:.60} for {path!r}; allowed: a number")
    return default


def _check_pattern(pattern: str, where: str) -> None:
    """Raises AdapterError unless it is a regular expression that surely ends in time."""
    loops = sum(map(pattern.count, "*+?{"))
    quick = len(pattern) <= 256 and loops <= 3 and pattern.count("|") <= 12
    try:
        if quick and not re.search(r"\)[*+{]", pattern):
            re.compile(f"({pattern})")
            return
    except (re.error, RecursionError, OverflowError):
        pass
    raise AdapterError(
        f"{where} has the pattern {pattern!r:.100}; allowed: a regular expression of at most 256 "
        "characters, three repetitions, none of them of a group, and twelve alternatives"
    )


def _width(weights: Mapping[str, Tensor]) -> int | None:
    """The width of the model, as far as the file tells: its matrices read or write that width."""
    for key, tensor in weights.items():
        site, down = place_of(key)[2], key.endswith(".lora_A")
        if site != ("ffn.lin2" if down else "ffn.lin1"):
            return tensor.shape[1] if down else tensor.shape[0]
    return None


def _class_of(data: Mapping[str, Any], head: Mapping[str, Tensor], prefix: str) -> str:
    """The class of the model, as far as the file tells."""
    task = data.get("task_type")
    known = TASKS.get(task) if isinstance(task, str) else None
    if known:
        return known[0]
    mapping = data.get("auto_mapping")
    said = mapping.get("base_model_class") if isinstance(mapping, dict) else None
    if said in (*HEAD_MODULES, BASE_CLASS):
        return str(said)
    modules = {key.partition(".")[0] for key in head}
    fitting = [name for name, parts in HEAD_MODULES.items() if modules and modules <= {*parts}]
    return fitting[0] if fitting else FLEXIBLE_CLASS if prefix else BASE_CLASS
