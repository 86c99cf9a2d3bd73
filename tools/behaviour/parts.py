"""The parts of a recording: which commands run, and what is read from their files. All on a tiny part of the corpus."""

import json
import shutil
from pathlib import Path
from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Sequence

import numpy as np
import soundfile
from behaviour import reading
from behaviour.commands import HERE, Commands

Sections = Dict[str, reading.Values]

RECIPE = "egs/asterisk/ASR"
UTTERANCES = 50
SPEEDS = "0.9 1.0 1.1"
MAIN = "whisper_tiny_km500"  # the feature type of training and decoding
VIEWS = "mfcc_km500+fbank_km500"
CODEC, FACTORISED = "asterisk_codec", "asterisk_codec_factorised"
MASKED, PIECES = "asterisk_hubert_km500", "whisper_tiny_km500_rm_bpe2000"
# The split that training has seen: a model of so little speech says something there.
SEEN = "seen"


class Small(NamedTuple):
    """A feature type of the recipe that is made small: a few steps are enough to see every kind of step."""

    original: str
    changes: Mapping[str, Any]


SMALL: Dict[str, Small] = {
    CODEC: Small(CODEC, {"max_steps": 40, "plain_steps": 12}),
    FACTORISED: Small(CODEC, {"quantizer": "factorised", "max_steps": 16, "plain_steps": 4}),
    MASKED: Small(MASKED, {"steps": [10, 12], "teacher_clusters": [20, 50], "warmup_steps": 4, "num_clusters": 100}),
    PIECES: Small(PIECES, {"bpe_vocab_size": 560}),
}


class Features(NamedTuple):
    """A feature type that is recorded: whether it is fitted, and the splits that are extracted with their speeds."""

    is_fitted: bool
    splits: Mapping[str, str]


FEATURES: Dict[str, Features] = {
    MAIN: Features(True, {"train": SPEEDS, "dev": "1.0", SEEN: "1.0"}),
    "mfcc_km500": Features(True, {"test": "1.0"}),
    "fbank_km500": Features(True, {"test": SPEEDS}),
    "dmel": Features(False, {"test": "1.0"}),
    "fbank": Features(False, {"train": "1.0", "dev": "1.0"}),
    VIEWS: Features(True, {"train": "1.0", "dev": "1.0"}),
    "whisper_tiny_km500_rm": Features(True, {"test": "1.0"}),
    PIECES: Features(True, {"test": "1.0"}),
    CODEC: Features(True, {"test": "1.0"}),
    FACTORISED: Features(True, {"test": "1.0"}),
    MASKED: Features(True, {"test": "1.0"}),
}


# Recipes whose text pieces are trained, with further flags; the first one's are those of language models and graphs.
TEXTS: Dict[str, str] = {"default": "", "lang_pieces": "--vocab-size 45"}


class Training(NamedTuple):
    """A training: its features and flags; with a second set of flags it is resumed after a step within an epoch."""

    feature: str
    flags: str
    resumed_flags: str = ""
    pieces: str = "default"


RESUMED_AFTER = 21
# Small batches of two languages, so that a few epochs are enough to know the training utterances.
QUICK = (
    "--languages en,it --max-duration 8 --curriculum-max-duration 8 --ref-duration 8 --dropout 0.0 --warmup-batches 20 "
    "--lr-warmup-batches 20 --rnnt-warm-step 30 --average-period 20 --keep-last-k 1 --log-interval 10"
)
TRAININGS: Dict[str, Training] = {
    # The default recipe, but for its length: speed copies, CTC and transducer, augmentation from the second epoch on.
    "default": Training(
        MAIN,
        "--num-epochs 2 --augment-start-epoch 2 --log-interval 1 --save-every-n 7 --keep-last-k 9 --average-period 5",
        "--num-epochs 4 --augment-start-epoch 2 --log-interval 1 --save-every-n 7 --keep-last-k 9 --average-period 5",
    ),
    "seen": Training(MAIN, f"{QUICK} --num-epochs 8 --decode-interval 4"),
    # One chunk size, since decoding draws one of several by chance.
    "causal": Training(
        MAIN, f"{QUICK} --causal true --chunk-size 16 --left-context-frames 64 --num-epochs 5 --decode-interval 0"
    ),
    # Several codebooks, CR-CTC, gradients added over batches, epochs by parts, languages drawn more evenly, chunks of
    # several sizes.
    "views": Training(
        VIEWS,
        "--num-epochs 1 --causal true --cr-loss-scale 0.1 --accum-grad 2 --fractional-epochs true --log-interval 1 "
        "--language-temperature 0.5 --augment-start-epoch 1 --num-embedding-masks 2 --gaussian-noise-prob 0.25",
    ),
    # Continuous features, the front end of the paper.
    "continuous": Training(
        "fbank", "--num-epochs 1 --front-end conv2d --embedding-dim 80 --rnnt-type modified --log-interval 1"
    ),
    "languages": Training(MAIN, "--num-epochs 1 --log-interval 1", pieces="lang_pieces"),
}
LANGUAGE_MODELS: Dict[str, str] = {
    "ngram": "--lm-type ngram --ngram-order 4",
    "bigram": "--lm-type ngram --ngram-order 2",
    "lstm": "--lm-type lstm --lm-num-epochs 5 --lm-dim 64",
    "transformer": "--lm-type transformer --lm-num-epochs 5 --lm-dim 64",
}
PHRASES = "call waiting\nconference :3.5\nmessaggio\n"


class Decoding(NamedTuple):
    """A decoding: the experiment, the splits and the flags, in which {lm}, {graphs} and {phrases} are paths."""

    experiment: str
    flags: str
    splits: str = f"{SEEN},dev"
    needs_k2: bool = False


DECODINGS: Dict[str, Decoding] = {
    "default_greedy": Decoding("default", "--decoding-method greedy_search --blank-penalty 5.0 --avg 2", "dev"),
    "default_last_weights": Decoding(
        "default",
        "--decoding-method modified_beam_search --blank-penalty 2.0 --epoch 4 --avg 2 --use-averaged-model 0",
        "dev",
    ),
    "languages": Decoding("languages", "--decoding-method greedy_search --blank-penalty 5.0", "dev"),
    "causal": Decoding("causal", "--decoding-method modified_beam_search"),
    "greedy": Decoding("seen", "--decoding-method greedy_search"),
    "modified_beam": Decoding("seen", "--decoding-method modified_beam_search --nbest 4"),
    "modified_beam_ngram": Decoding("seen", "--decoding-method modified_beam_search --lm {lm}/ngram --lm-scale 0.3"),
    "modified_beam_lstm": Decoding(
        "seen", "--decoding-method modified_beam_search --lm {lm}/lstm --lodr {lm}/bigram --lodr-scale 0.1"
    ),
    "modified_beam_transformer": Decoding(
        "seen", "--decoding-method modified_beam_search --lm {lm}/transformer --context-file {phrases}"
    ),
    "ctc_greedy": Decoding("seen", "--decoding-method ctc_greedy_search"),
    "ctc_prefix_beam": Decoding("seen", "--decoding-method ctc_prefix_beam_search --lm {lm}/ngram --nbest 3"),
    "fast_beam_search": Decoding("seen", "--decoding-method fast_beam_search", needs_k2=True),
    "fast_beam_search_nbest": Decoding("seen", "--decoding-method fast_beam_search_nbest", needs_k2=True),
    "fast_beam_search_nbest_LG": Decoding(
        "seen", "--decoding-method fast_beam_search_nbest_LG --graph-dir {graphs}", needs_k2=True
    ),
    "ctc_decoding": Decoding("seen", "--decoding-method ctc_decoding", needs_k2=True),
    "1best": Decoding("seen", "--decoding-method 1best --graph-dir {graphs}", needs_k2=True),
    "nbest-rescoring": Decoding("seen", "--decoding-method nbest-rescoring --graph-dir {graphs}", needs_k2=True),
}
STREAMED = ("greedy_search", "modified_beam_search")
LONG_AUDIO = 12  # utterances that are joined to a long file
PAUSE_SEC = 0.7
OTHER_RATE_HZ = 22050


class Recorder(NamedTuple):
    """Where everything lies. `made`: work folder whose experiments are used, `work` or that of an older recording."""

    commands: Commands
    root: Path
    corpus_dir: Path
    work: Path
    made: Path

    def recipe(self, name: str = "default") -> Path:
        """A recipe file; the default one is that of all trainings."""
        return self.root / RECIPE / f"conf/recipes/{name}.json"

    @property
    def lang_dir(self) -> Path:
        """The text pieces of language models and graphs."""
        return self.work / "lang" / next(iter(TEXTS))

    def cuts(self, split: str) -> Path:
        """Manifest of a split, as stage 1 makes it."""
        return self.work / f"data/manifests/asterisk_cuts_{'train' if split == SEEN else split}.jsonl.gz"

    def stage(self, name: str, script: str, flags: Sequence[object]) -> str:
        """Run a script of the checkout; the log is named after the part."""
        return self.commands.run(name, self.root / script, flags)

    def emptied(self, folder: str) -> Path:
        """A folder of the work folder for a part to write, without what an interrupted recording left there."""
        path = self.work / folder
        shutil.rmtree(path, ignore_errors=True)
        return path

    def linked(self, experiment: str, name: str) -> Path:
        """A folder with links to the files of an experiment, which is left alone by what is written there."""
        folder = self.emptied(f"decoded/{name}")
        folder.mkdir(parents=True)
        for path in (self.made / "exp" / experiment).iterdir():
            if path.name not in ("log", "tensorboard"):
                (folder / path.name).symlink_to(path)
        return folder


def with_values(config: Any, changes: Mapping[str, Any], where: str) -> Any:
    """A JSON object with the values of some keys changed, wherever in it they stand.

    Raises:
      ValueError: if a key is not there exactly once.
    """
    found: List[str] = []

    def changed(value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        found.extend(key for key in value if key in changes)
        return {key: changes[key] if key in changes else changed(inner) for key, inner in value.items()}

    result = changed(config)
    if sorted(found) != sorted(changes):
        raise ValueError(f"{where} has the settings {found}, expected each of {sorted(changes)} once.")
    return result


def feature_type(recorder: Recorder, name: str) -> str:
    """The feature type's name, or the path of a file in which it is made small."""
    if name not in SMALL:
        return name
    original = recorder.root / RECIPE / f"conf/features/{SMALL[name].original}.json"
    config = with_values(json.loads(original.read_text(encoding="utf-8")), SMALL[name].changes, str(original))
    path = recorder.work / f"conf/{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(config), encoding="utf-8")
    return str(path)


def record_corpus(recorder: Recorder, part: str) -> Sections:
    """Stage 1 on a subset."""
    flags = ["--corpus-dir", recorder.corpus_dir, "--data-dir", recorder.emptied("data")]
    recorder.stage(part, f"{RECIPE}/local/prepare.py", [*flags, "--nj", 1, "--subset", UTTERANCES])
    splits = ("train", "dev", "test")
    return {f"texts {split}": reading.texts_of_manifest(recorder.cuts(split)) for split in splits}


def record_noise(recorder: Recorder, part: str) -> Sections:
    """Noisy versions of the test set."""
    audio_dir = recorder.emptied("noisy_audio")
    flags = ["--cuts", recorder.cuts("test"), "--train-cuts", recorder.cuts("train"), "--audio-dir", audio_dir]
    recorder.stage(part, "local/make_noisy.py", [*flags, "--snrs", "10", "--kinds", "babble,pink", "--nj", 1])
    paths = sorted(path for path in audio_dir.rglob("*") if path.is_file())
    return {"files": {str(path.relative_to(audio_dir)): reading.sha256(path.read_bytes()) for path in paths}}


def record_text(recorder: Recorder, part: str) -> Sections:
    """Stage 5: pieces of the text."""
    name = part.split(".", 1)[1]
    lang_dir = recorder.emptied(f"lang/{name}")
    flags = ["--cuts", recorder.cuts("train"), "--lang-dir", lang_dir, "--recipe-config", recorder.recipe(name)]
    recorder.stage(part, "local/train_bpe.py", [*flags, *TEXTS[name].split()])
    model = reading.sha256((lang_dir / "bpe.model").read_bytes())
    return {"files": {"bpe.model": model}, "texts": reading.lines_of(lang_dir / "tokens.txt")}


def record_codes(recorder: Recorder, part: str) -> Sections:
    """Stages 2 and 3: fit, unless an older recording's state is used, and extraction."""
    name = part.split(".", 1)[1]
    features, folder = FEATURES[name], recorder.emptied(f"features/{name}")
    common = ["--feature-type", feature_type(recorder, name), "--conf-dir", recorder.root / RECIPE / "conf/features"]
    common += ["--out-dir", folder]
    if recorder.made != recorder.work and features.is_fitted:
        shutil.copytree(recorder.made / "features" / name, folder, ignore=_of_splits(features.splits))
    elif features.is_fitted:
        recorder.stage(part, "local/fit_tokenizer.py", [*common, "--cuts", recorder.cuts("train")])
    found: Sections = {"codes": {}}
    for split, speeds in features.splits.items():
        flags = [*common, "--cuts", recorder.cuts(split), "--split", split, "--speed-factors", speeds]
        recorder.stage(part, "local/extract_codes.py", flags)
        found["codes"].update(reading.codes_of(folder, split))
    found["spec"] = reading.spec_of(folder)
    # Not those in tokenizer/, which are copies.
    found["weights"] = {**reading.weights_in(folder, "*.safetensors"), **_weights_of_parts(folder)}
    if name == CODEC:
        keys = ("losses", "perplexities", "steps")
        found["figures"] = reading.safetensors_figures(folder / "codec.safetensors", keys)
    if name == MASKED:
        found["figures"] = reading.figures_of(json.loads((folder / "training.json").read_text(encoding="utf-8")))
    return found


def _weights_of_parts(folder: Path) -> reading.Values:
    """What was fitted for the feature types that another one is composed of, which lie in folders of their own."""
    found: reading.Values = {}
    for inner in sorted(path for path in folder.iterdir() if path.is_dir() and path.name != "tokenizer"):
        weights = reading.weights_in(inner, "**/*.safetensors")
        found.update({f"{inner.name}/{name}": value for name, value in weights.items()})
    return found


def _of_splits(splits: Mapping[str, str]) -> Callable[..., Any]:
    patterns = [pattern for split in splits for pattern in (f"{split}.*", f".{split}.*", f"extract-{split}*")]
    return shutil.ignore_patterns(*patterns)


def record_check(recorder: Recorder, part: str) -> Sections:
    """Stage 4: figures on the use of the codes."""
    folder = recorder.work / "features" / MAIN
    recorder.stage(part, "local/check_cuts.py", ["--feature-dir", folder, "--splits", "train,dev"])
    report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    return {"figures": reading.figures_of(report)}


def record_lm(recorder: Recorder, part: str) -> Sections:
    """A language model of the transcripts."""
    kind = part.split(".", 1)[1]
    folder = recorder.emptied(f"lm/{kind}")
    flags = ["--cuts", recorder.cuts("train"), "--dev-cuts", recorder.cuts("dev"), "--lang-dir", recorder.lang_dir]
    recorder.stage(part, "local/train_lm.py", [*flags, "--lm-dir", folder, *LANGUAGE_MODELS[kind].split()])
    found: Sections = {"figures": reading.figures_of(json.loads((folder / "lm.json").read_text(encoding="utf-8")))}
    if (folder / "lm.arpa").is_file():
        found["texts"] = reading.lines_of(folder / "lm.arpa")
    found["weights"] = reading.weights_in(folder, "*.safetensors")
    return found


def forget_after(exp_dir: Path, step: int) -> None:
    """Remove the checkpoints behind a step, as if training had been killed there."""
    paths = list(exp_dir.glob("checkpoint-*.pt"))
    later = [path for path in paths if int(path.stem.split("-")[-1]) > step]
    if len(later) == len(paths):
        raise RuntimeError(f"{exp_dir} has no checkpoint up to step {step} to go on from.")
    for path in later:
        path.unlink()


def record_training(recorder: Recorder, part: str) -> Sections:
    """Stage 6: every epoch's weights and averages, the losses of epochs and of batches."""
    name = part.split(".", 1)[1]
    training, exp_dir = TRAININGS[name], recorder.emptied(f"exp/{name}")
    common = ["--recipe-config", recorder.recipe(), "--feature-dir", recorder.work / "features" / training.feature]
    common += ["--lang-dir", recorder.work / "lang" / training.pieces, "--exp-dir", exp_dir]
    recorder.stage(part, "local/train.py", [*common, *training.flags.split()])
    if training.resumed_flags:
        forget_after(exp_dir, RESUMED_AFTER)
        recorder.stage(part, "local/train.py", [*common, *training.resumed_flags.split()])
    summary = json.loads((exp_dir / "train.json").read_text(encoding="utf-8"))
    found = {
        "weights": reading.weights_in(exp_dir, "epoch-*.pt"),
        "figures": reading.figures_of(summary),
        "figures batches": reading.batch_losses(exp_dir / "log"),
    }
    checkpoints = sorted(exp_dir.glob("checkpoint-*.pt"), key=lambda path: path.stat().st_mtime)
    for path in checkpoints[:-1]:
        path.unlink()
    return found


def record_graphs(recorder: Recorder, part: str) -> Sections:
    """Lexicon and graphs for the searches of k2."""
    folder = recorder.emptied("graphs")
    flags = ["--cuts", recorder.cuts("train"), "--lang-dir", recorder.lang_dir, "--graph-dir", folder]
    recorder.stage(part, "local/compile_graphs.py", flags)
    return {f"texts {name}": reading.lines_of(folder / name) for name in ("words.txt", "lexicon.txt", "G.arpa")}


def record_decoding(recorder: Recorder, part: str) -> Sections:
    """Stage 7: what a search finds, with its n-best lists where it makes them."""
    name = part.split(".", 1)[1]
    decoding, folder = DECODINGS[name], recorder.linked(DECODINGS[name].experiment, name)
    phrases = recorder.work / "phrases.txt"
    phrases.write_text(PHRASES, encoding="utf-8")
    flags = decoding.flags.format(lm=recorder.made / "lm", graphs=recorder.made / "graphs", phrases=phrases).split()
    common = ["--exp-dir", folder, "--feature-dir", recorder.made / "features" / MAIN, "--splits", decoding.splits]
    recorder.stage(part, "local/decode.py", [*common, "--recipe-config", recorder.recipe(), *flags])
    found: Sections = {}
    for split in decoding.splits.split(","):
        (recogs,) = folder.glob(f"*/recogs-{split}-*.txt")
        found[f"texts {split}"] = reading.hypotheses_of(recogs)
        for kind in ("nbest", "languages"):
            for path in folder.glob(f"*/{kind}-{split}-*"):
                found[f"{kind} {split}"] = reading.lines_of(path)
    return found


def record_score(recorder: Recorder, part: str) -> Sections:
    """Stage 8 on one of the decodings."""
    folder = recorder.work / "decoded/modified_beam"
    flags = ["--exp-dir", folder, "--decoding-method", "modified_beam_search"]
    recorder.stage(part, "local/score.py", [*flags, "--results-dir", recorder.work / "results"])
    paths = sorted([*folder.glob("*/errs-*.txt"), *folder.glob("*/wer-summary-*.txt")])
    return {f"texts {path.name}": reading.lines_of(path) for path in paths}


def long_audio(recorder: Recorder, paths: Sequence[Path]) -> List[Path]:
    """Two files of utterances with pauses between them, one of which claims another rate."""
    pieces: List[np.ndarray] = []
    for path in paths[:LONG_AUDIO]:
        samples, rate_hz = soundfile.read(str(path), dtype="int16")
        pieces += [samples, np.zeros(int(PAUSE_SEC * rate_hz), dtype=np.int16)]
    files = []
    for rate in (rate_hz, OTHER_RATE_HZ):
        files.append(recorder.work / f"long_{rate}.wav")
        soundfile.write(str(files[-1]), np.concatenate(pieces), rate, subtype="PCM_16")
    return files


def record_transcribe(recorder: Recorder, part: str) -> Sections:
    """`icefall-discrete transcribe` on short and long files."""
    paths = list(reading.audio_of_manifest(recorder.cuts("train")).values())
    flags: List[object] = ["transcribe", "--exp-dir", recorder.linked("seen", "transcribe"), "--json"]
    flags += ["--max-segment-sec", 10, *paths[:3], *long_audio(recorder, paths)]
    script = recorder.commands.python.parent / "icefall-discrete"
    found: Sections = {"texts": {}, "json": {}}
    for line in recorder.commands.run(part, script, flags).splitlines():
        told = json.loads(line)
        name = Path(told.pop("file")).name
        found["texts"][name] = told["text"]
        found["json"][name] = json.dumps(told, ensure_ascii=False)
    return found


def record_streaming(recorder: Recorder, part: str) -> Sections:
    """The streaming searches, which no command runs yet."""
    found: Sections = {}
    for method in STREAMED:
        flags = [recorder.made / "exp/causal", recorder.made / "features" / MAIN, SEEN, method]
        found[f"texts {method}"] = json.loads(recorder.commands.run(part, HERE / "streaming_text.py", flags))
    return found


class Part(NamedTuple):
    """How a part is recorded; whether it needs k2; whether it makes what old experiments are instead of."""

    record: Callable[[Recorder, str], Sections]
    needs_k2: bool = False
    makes_experiments: bool = False


def _all_parts() -> Dict[str, Part]:
    def named(kind: str, names: Sequence[str], part: Part) -> Dict[str, Part]:
        return {f"{kind}.{name}": part for name in names}

    return {
        "corpus": Part(record_corpus),
        "noise": Part(record_noise),
        **named("text", list(TEXTS), Part(record_text, makes_experiments=True)),
        **named("codes", list(FEATURES), Part(record_codes)),
        "check": Part(record_check),
        **named("lm", list(LANGUAGE_MODELS), Part(record_lm, makes_experiments=True)),
        **named("train", list(TRAININGS), Part(record_training, makes_experiments=True)),
        "graphs": Part(record_graphs, needs_k2=True, makes_experiments=True),
        **{f"decode.{name}": Part(record_decoding, decoding.needs_k2) for name, decoding in DECODINGS.items()},
        "score": Part(record_score),
        "transcribe": Part(record_transcribe),
        "streaming": Part(record_streaming),
    }


PARTS: Dict[str, Part] = _all_parts()
