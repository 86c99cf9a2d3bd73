"""Checkpoints of fairseq and unilm: their settings and weights, without either package.

fairseq publishes self-supervised models with `cfg` (a dictionary, or nodes of omegaconf) or `args` (a namespace) beside
`model`; unilm publishes WavLM with a flat `cfg`. A fine-tuned model carries the settings of its pretraining inside its
own, as `w2v_args`. The names and shapes here are those of fairseq 0.12.2 and unilm's WavLM.py.
"""

import ast
import re
from pathlib import Path
from typing import Any, Dict, List, Mapping, Tuple

from torch import Tensor

from icefall_discrete.base.guarded_pickle import plain, read_checkpoint
from icefall_discrete.base.inert_pickle import shown

MAX_CONV_LAYERS = 64
MAX_LAYERS_TEXT = 10_000  # letters; Python's parser goes as deep as the text does
# fairseq's names on the left, transformers' on the right; the first that matches the whole name holds.
_RENAMES: Tuple[Tuple[str, str], ...] = (
    (r"feature_extractor\.conv_layers\.(\d+)\.0\.(weight|bias)", r"feature_extractor.conv_layers.\1.conv.\2"),
    (
        r"feature_extractor\.conv_layers\.(\d+)\.2(?:\.1)?\.(weight|bias)",
        r"feature_extractor.conv_layers.\1.layer_norm.\2",
    ),
    (r"layer_norm\.(weight|bias)", r"feature_projection.layer_norm.\1"),
    (r"post_extract_proj\.(weight|bias)", r"feature_projection.projection.\1"),
    (r"encoder\.pos_conv\.0\.(weight_g|weight_v|weight|bias)", r"encoder.pos_conv_embed.conv.\1"),
    (r"encoder\.pos_conv\.(\d+)\.0\.(weight|bias)", r"encoder.pos_conv_embed.layers.\1.conv.\2"),
    (r"encoder\.layer_norm\.(weight|bias)", r"encoder.layer_norm.\1"),
    (r"encoder\.layers\.(\d+)\.self_attn\.([kvq]|out)_proj\.(\w+)", r"encoder.layers.\1.attention.\2_proj.\3"),
    (r"encoder\.layers\.(\d+)\.self_attn\.grep_linear\.(\w+)", r"encoder.layers.\1.attention.gru_rel_pos_linear.\2"),
    (r"encoder\.layers\.(\d+)\.self_attn\.grep_a", r"encoder.layers.\1.attention.gru_rel_pos_const"),
    (
        r"encoder\.layers\.(\d+)\.self_attn\.relative_attention_bias\.weight",
        r"encoder.layers.\1.attention.rel_attn_embed.weight",
    ),
    (r"encoder\.layers\.(\d+)\.self_attn_layer_norm\.(\w+)", r"encoder.layers.\1.layer_norm.\2"),
    (r"encoder\.layers\.(\d+)\.fc1\.(\w+)", r"encoder.layers.\1.feed_forward.intermediate_dense.\2"),
    (r"encoder\.layers\.(\d+)\.fc2\.(\w+)", r"encoder.layers.\1.feed_forward.output_dense.\2"),
    (r"encoder\.layers\.(\d+)\.final_layer_norm\.(\w+)", r"encoder.layers.\1.final_layer_norm.\2"),
)
# What a fine-tuned model puts before the names of its encoder.
_PREFIX = re.compile(r"^(w2v_encoder\.)?w2v_model\.")


def read_fairseq(path: Path) -> Tuple[Dict[str, Any], Dict[str, Tensor]]:
    """Read a checkpoint: its settings in one flat dictionary, and its state dict. ValueError if it lacks either.

    Of a fine-tuned model the settings are those of the pretraining, which built the encoder.
    """
    checkpoint = read_checkpoint(path)
    if not isinstance(checkpoint, Mapping) or not isinstance(checkpoint.get("model"), Mapping):
        raise ValueError(f"{path} is no checkpoint of fairseq or unilm: it has no 'model'; correct `model`.")
    settings = plain(checkpoint.get("cfg") or checkpoint.get("args"))
    if not isinstance(settings, dict):
        raise ValueError(f"{path} has neither 'cfg' nor 'args', so the shape of the model is not known.")
    # data2vec keeps the averaged teacher, a dictionary, among the weights.
    weights = {name: value for name, value in checkpoint["model"].items() if isinstance(value, Tensor)}
    return _flat_settings(settings), weights


def _flat_settings(settings: Dict[str, Any]) -> Dict[str, Any]:
    model = settings.get("model")
    flat = {**settings, **model} if isinstance(model, dict) else dict(settings)
    task = settings.get("task")
    if isinstance(task, dict) and "normalize" in task:
        flat["normalize"] = task["normalize"]
    pretraining = flat.get("w2v_args")
    return {**flat, **_flat_settings(pretraining)} if isinstance(pretraining, dict) else flat


def parse_layers(text: Any, where: str) -> List[Tuple[int, ...]]:
    """Read a list of layers such as "[(512, 10, 5)] + [(512, 3, 2)] * 4", which fairseq would evaluate as Python.

    >>> parse_layers("[(512, 10, 5)] + [(512, 3, 2)] * 2", "a checkpoint")
    [(512, 10, 5), (512, 3, 2), (512, 3, 2)]
    """
    try:
        if len(str(text)) > MAX_LAYERS_TEXT:
            raise ValueError("longer than any list of layers")
        layers = _value(ast.parse(str(text), mode="eval").body)
        if not isinstance(layers, list) or not all(isinstance(layer, tuple) for layer in layers):
            raise ValueError("not a list of layers")
    except (MemoryError, RecursionError, SyntaxError, ValueError) as error:
        raise ValueError(f"{where}: layers {shown(str(text))!r} are not understood ({shown(str(error))}).") from None
    return layers


def _value(node: ast.AST) -> Any:
    if isinstance(node, ast.Constant) and isinstance(node.value, int):
        return node.value
    if isinstance(node, ast.Tuple):
        return tuple(_value(item) for item in node.elts)
    if isinstance(node, ast.List):
        return [_value(item) for item in node.elts]
    if isinstance(node, ast.BinOp) and isinstance(node.op, (ast.Add, ast.Mult)):
        left, right = _value(node.left), _value(node.right)
        if isinstance(node.op, ast.Add) and isinstance(left, list) and isinstance(right, list):
            return left + right
        if isinstance(left, list) and isinstance(right, int) and len(left) * right <= MAX_CONV_LAYERS:
            return left * right
    raise ValueError(f"'{ast.unparse(node)}' is neither a list of tuples nor a repetition of one")


def read_ssl_checkpoint(path: Path) -> Tuple[Any, Dict[str, Tensor], str]:
    """Read HuBERT, wav2vec 2.0, XLS-R, data2vec (fairseq) or WavLM (unilm) for the modules of transformers.

    Returns:
      the configuration for transformers, the weights by its names, and the rule by which the input is normalised.
    """
    settings, weights = read_fairseq(path)
    renamed: Dict[str, Tensor] = {}
    for name, value in weights.items():
        bare = _PREFIX.sub("", name)
        for pattern, target in _RENAMES:
            if re.fullmatch(pattern, bare):
                renamed[re.sub(pattern, target, bare)] = value
                break
    if "feature_projection.projection.weight" not in renamed:
        raise ValueError(f"{path} has no 'post_extract_proj', so it is none of the models that are read here.")
    if settings.get("layer_type", "transformer") != "transformer":
        raise ValueError(f"{path} has layers of type '{settings['layer_type']}', expected 'transformer'.")
    config = _transformers_config(settings, renamed, str(path))
    return config, renamed, "layer_norm" if settings.get("normalize", False) else "none"


def _transformers_config(settings: Dict[str, Any], weights: Dict[str, Tensor], where: str) -> Any:
    """The configuration of transformers for `weights`; sizes are read off the weights, the rest from the settings."""
    import transformers

    conv = parse_layers(settings["conv_feature_layers"], where)
    layer_norm_mode = str(settings.get("extractor_mode", "default")) == "layer_norm"
    config: transformers.PretrainedConfig = transformers.HubertConfig()
    if any("gru_rel_pos_linear" in name for name in weights):
        config = transformers.WavLMConfig()
        config.num_buckets = settings["num_buckets"]
        config.max_bucket_distance = settings["max_distance"]
    positions = sorted(name for name in weights if re.fullmatch(r"encoder\.pos_conv_embed\..*weight(_v)?", name))
    kernel = weights[positions[0]].shape
    config.num_conv_pos_embeddings = kernel[2]
    if "layers" in positions[0]:
        config = transformers.Data2VecAudioConfig()
        config.num_conv_pos_embeddings, config.conv_pos_kernel_size = len(positions), kernel[2]
    config.num_conv_pos_embedding_groups = kernel[0] // kernel[1]
    layers = [int(name.split(".")[2]) for name in weights if name.startswith("encoder.layers.")]
    config.num_hidden_layers = 1 + max(layers)
    first = weights["encoder.layers.0.feed_forward.intermediate_dense.weight"]
    config.intermediate_size, config.hidden_size = first.shape
    config.num_attention_heads = settings["encoder_attention_heads"]
    config.hidden_act = str(settings.get("activation_fn", "gelu"))
    config.do_stable_layer_norm = bool(settings.get("layer_norm_first", False))
    config.feat_extract_norm = "layer" if layer_norm_mode else "group"
    config.conv_bias = "feature_extractor.conv_layers.0.conv.bias" in weights
    config.conv_dim, config.conv_kernel, config.conv_stride = ([layer[i] for layer in conv] for i in range(3))
    config.num_feat_extract_layers = len(conv)
    return config
