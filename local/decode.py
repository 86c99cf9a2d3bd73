"""Stage 7: average checkpoints of an experiment and recognise the cuts of some splits.

The model is rebuilt from the experiment folder; no flag describes its shape. A split that was decoded with the same
checkpoints, cuts and settings is not decoded again.
"""

import logging
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Tuple

import torch

from icefall_discrete.base import environment
from icefall_discrete.base.flags import ScriptParser, add_flags, override
from icefall_discrete.base.json_files import write_json
from icefall_discrete.base.provenance import Provenance, Rules, digest_of_file
from icefall_discrete.base.script import run_script
from icefall_discrete.base.settings import from_dict, to_dict
from icefall_discrete.data.checksums import known_checksums
from icefall_discrete.data.cuts import load_feature_cuts
from icefall_discrete.data.filters import chosen_languages
from icefall_discrete.decoding.fusion import Fusion, fusion_files
from icefall_discrete.decoding.k2_searches import References
from icefall_discrete.decoding.search import check_method
from icefall_discrete.decoding.settings import DecodeConfig
from icefall_discrete.experiment.checkpoint_choice import CheckpointChoice, files_of, load_weights, resolve_choice
from icefall_discrete.experiment.folder import Experiment
from icefall_discrete.experiment.recipe_files import read_recipe
from icefall_discrete.systems.asr.decoding_files import DecodingFiles, decoding_files, decoding_suffix
from icefall_discrete.systems.asr.languages_said import write_languages
from icefall_discrete.systems.asr.nbest import oracle_errors, write_nbest
from icefall_discrete.systems.asr.recognition import WHOLE, StreamsConfig, TranscribeConfig, recognise, transcripts_of
from icefall_discrete.systems.asr.recogs import write_recogs
from icefall_discrete.systems.asr.transducer import Transducer
from icefall_discrete.text.words import words_in

LOG = logging.getLogger("decode")


def get_parser() -> ScriptParser:
    """The flags of this stage."""
    parser = ScriptParser(__doc__)
    parser.add_argument("--exp-dir", type=Path, required=True, help="folder of the trained experiment")
    parser.add_argument("--feature-dir", type=Path, required=True, help="folder with spec.json and <split>.jsonl.gz")
    parser.add_argument("--splits", default="dev,test", help="splits to decode, by commas (default: dev,test)")
    parser.add_argument("--recipe-config", type=Path, help="recipe with sections average, decode (default: none)")
    add_flags(parser, CheckpointChoice, "average")
    add_flags(parser, DecodeConfig, "decode")
    add_flags(parser, TranscribeConfig)
    add_flags(parser, StreamsConfig, "streaming")
    return parser


def decode_settings(args: Any) -> Tuple[CheckpointChoice, DecodeConfig]:
    """Checkpoints and search: the defaults, over them the recipe's sections `average` and `decode`, then the flags."""
    recipe: Dict[str, Any] = read_recipe(args.recipe_config) if args.recipe_config else {}
    choice = from_dict(CheckpointChoice, recipe.get("average", {}), str(args.recipe_config))
    config = override(from_dict(DecodeConfig, recipe.get("decode", {}), str(args.recipe_config)), args, "decode")
    check_method(config.decoding_method)
    return override(choice, args, "average"), config


def load_model(experiment: Experiment, choice: CheckpointChoice, device: torch.device) -> Transducer:
    """The experiment's model with averaged weights, ready to recognise."""
    model = experiment.build_model()
    model.load_trained(load_weights(choice, experiment.exp_dir))
    return model.to(device).eval()


def scorers(experiment: Experiment, config: DecodeConfig, device: torch.device) -> Optional[Callable]:
    """From a batch to what is added to the search's scores, or for the oracle to what was said; None: nothing."""
    if config.decoding_method == "fast_beam_search_nbest_oracle":
        decode = experiment.text_encoder().decode
        return lambda batch: References([words_in(text) for text in batch["text"]], decode)
    if not config.is_used:
        return None
    fusion = Fusion(config, experiment.exp_dir / "bpe.model", device)
    return lambda batch: fusion.scorer(batch["cut_ids"])


def decode_split(
    split: str, args: Any, model: Transducer, config: DecodeConfig, run: TranscribeConfig, files: DecodingFiles
) -> Dict[str, Any]:
    """Decode one split and write its recogs (and n-best lists); returns the facts of its record."""
    experiment = Experiment(args.exp_dir)
    spec, text_encoder = experiment.spec(), experiment.text_encoder()
    cuts, _ = load_feature_cuts(args.feature_dir / f"{split}.jsonl.gz", spec)
    cuts = chosen_languages(cuts, experiment.settings().filter.languages)
    scorer_of = scorers(experiment, config, run.torch_device())
    streams = override(WHOLE, args, "streaming")
    found, facts = recognise(model, cuts, spec, config, run, f"Decoding {split}", scorer_of, streams)
    transcripts = transcripts_of(cuts, found, text_encoder)
    write_recogs(files.recogs(split), transcripts)
    if text_encoder.languages:
        write_languages(files.languages(split), cuts, found, text_encoder)
    if config.nbest > 1:
        write_nbest(files.nbest(split), cuts, found, model.config.encoder_frame_sec(spec), text_encoder)
        facts["nbest_oracle_wer"] = oracle_errors(transcripts, found, text_encoder).rate
        LOG.info(f"{split}: WER {facts['nbest_oracle_wer']:.2f} if the best of {config.nbest} were always taken")
    if facts["num_too_short"]:
        LOG.warning(
            f"{split}: {facts['num_too_short']} of {facts['num_utterances']} cuts are too short for the model and get "
            f"an empty hypothesis, such as {facts['too_short'][0]}."
        )
    LOG.info(
        f"{split}: {facts['num_utterances']} utterances, {facts['audio_sec']:.0f} s of audio in "
        f"{facts['wall_sec']:.1f} s (RTF {facts['decode_rtf']:.4f}); {files.recogs(split)}"
    )
    return facts


def inputs_of(config: DecodeConfig) -> List[Path]:
    """Language models, phrases and graphs that the result depends on."""
    graphs = sorted(path for path in Path(config.graph_dir).glob("*") if path.is_file()) if config.graph_dir else []
    return fusion_files(config) + graphs


def _said(choice: CheckpointChoice) -> Dict[str, Any]:
    """The choice for records, without what records of before do not know where it is not used."""
    return {name: value for name, value in to_dict(choice).items() if name != "checkpoint" or value}


def decode_splits(splits: List[str], args: Any, files: DecodingFiles, choice: CheckpointChoice, config: DecodeConfig):
    """Decode the splits that were not decoded from the same checkpoints and cuts before."""
    run = override(TranscribeConfig(), args)
    device = run.torch_device()
    if run.num_threads:
        torch.set_num_threads(run.num_threads)
    torch.set_flush_denormal(True)
    checkpoints = files_of(choice, args.exp_dir)
    decoding = {
        "recipe": args.recipe_config.stem if args.recipe_config else None,
        "feature_dir": str(args.feature_dir.resolve()),
        "device": device.type,
        "device_name": torch.cuda.get_device_name(device) if device.type == "cuda" else environment.cpu_name(),
    }
    # By their bytes, as in records of before.
    inputs = [{path.name: digest_of_file(path, as_bytes=True)} for path in inputs_of(config)]
    how = override(WHOLE, args, "streaming")
    streams = {"streaming": to_dict(how)} if how.streaming else {}
    model = None
    for split in splits:
        manifest = args.feature_dir / f"{split}.jsonl.gz"
        settings = {**_said(choice), **to_dict(config), **streams, "inputs": inputs}
        codes = known_checksums(manifest)
        made_from = Provenance({path.name: digest_of_file(path) for path in [*checkpoints, manifest]}, settings)
        made_from.inputs.update(codes)
        if files.is_decoded(split, made_from, Rules(later=tuple(codes))):
            LOG.info(f"{files.recogs(split)} exists, made from the same checkpoints and cuts: nothing to do")
            continue
        if model is None:
            LOG.info(f"Averaging over {', '.join(path.name for path in checkpoints)}")
            model = load_model(Experiment(args.exp_dir), choice, device)
        facts = decode_split(split, args, model, config, run, files)
        record = {"made_from": made_from.to_json(), **decoding, **facts, "environment": environment.describe()}
        write_json(files.record(split), record)


def main() -> None:
    """Choose checkpoints and settings, decode, and leave word for scoring of what was decoded last."""
    args = get_parser().parse_args()
    choice, config = decode_settings(args)
    choice = resolve_choice(choice, args.exp_dir)
    context_size = Experiment(args.exp_dir).settings().model.heads.transducer.context_size
    suffix = decoding_suffix(choice.suffix, choice.use_averaged_model, config, context_size)
    streams = override(WHOLE, args, "streaming").suffix
    suffix = f"{suffix}_{streams}" if streams else suffix
    files = decoding_files(args.exp_dir, config.decoding_method, suffix)
    splits = [name for name in args.splits.split(",") if name]
    decode_splits(splits, args, files, choice, config)
    write_json(files.pointer, {"suffix": files.suffix, "splits": splits})


if __name__ == "__main__":
    run_script(main)
