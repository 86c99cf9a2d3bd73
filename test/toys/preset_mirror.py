"""A mirror of the hub for tools/check_presets.py: random weights of small networks under the names that presets say.

`python test/toys/preset_mirror.py FOLDER` makes one of all, to try the tool without a network.
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch
import toy_codecs
import transformers

LARGE = {"wavlm-large": "wavlm", "hubert-large-ll60k": "hubert", "chinese-hubert-large": "hubert"}
DIM = 24


def ssl(folder, model_type, num_layers, is_large):
    """A folder of transformers whose weights are pickled alone, as those of WavLM large are."""
    config = transformers.AutoConfig.for_model(
        model_type,
        hidden_size=DIM,
        num_hidden_layers=num_layers,
        num_attention_heads=2,
        intermediate_size=16,
        conv_dim=(8,) * 7,
        num_conv_pos_embeddings=8,
        num_conv_pos_embedding_groups=2,
    )
    config.do_stable_layer_norm = is_large
    config.feat_extract_norm = "layer" if is_large else "group"
    classes = {"wavlm": "WavLMModel", "hubert": "HubertModel", "wav2vec2": "Wav2Vec2Model"}
    torch.manual_seed(0)
    model = getattr(transformers, classes[model_type])(config).eval()
    config.save_pretrained(folder)
    torch.save(model.state_dict(), folder / "pytorch_model.bin")
    (folder / "preprocessor_config.json").write_text(json.dumps({"do_normalize": is_large}))


def kmeans(path, num_clusters=1000):
    """As SpeechBrain publishes it: scikit-learn's MiniBatchKMeans by joblib."""
    import joblib
    from sklearn.cluster import MiniBatchKMeans

    model = MiniBatchKMeans(num_clusters)
    model.cluster_centers_ = np.random.default_rng(0).standard_normal((num_clusters, DIM)).astype(np.float32)
    joblib.dump(model, path)


def one_file(make, name):
    """What makes a codec whose weights are one file, which goes by another name in the mirror."""

    def made(path):
        make(path.parent)
        (path.parent / name).replace(path)

    return made


FILES = {
    "SpeechTokenizer.pt": one_file(toy_codecs.speechtokenizer, "SpeechTokenizer.pt"),
    ".pth": one_file(toy_codecs.soundstream, "best.pth"),
    "HiFi-Codec-16k-320d": one_file(toy_codecs.hificodec, "HiFi-Codec"),
    **{f"LibriSpeech_{kind}_k1000_L{layer}.pt": kmeans for kind in ("hubert", "wavlm") for layer in range(1, 24)},
}
FOLDERS = {
    **{name: (lambda folder, kind=kind: ssl(folder, kind, 24, True)) for name, kind in LARGE.items()},
    "hubert-base-ls960": lambda folder: ssl(folder, "hubert", 12, False),
    "wav2vec2-large-xlsr-53": lambda folder: ssl(folder, "wav2vec2", 24, True),
    "encodec_24khz": lambda folder: toy_codecs.encodec(folder, num_codebooks=32),
    "encodec_48khz": lambda folder: toy_codecs.encodec(folder, True, 16),
    **{f"dac_{rate}": (lambda folder: toy_codecs.dac(folder, 32)) for rate in ("16khz", "24khz", "44khz")},
    "mimi": lambda folder: toy_codecs.mimi(folder, 8),
    "xcodec-hubert-librispeech": lambda folder: toy_codecs.xcodec(folder, (0.5, 1.0, 2.0, 4.0)),
}


def put(mirror, name):
    """Make what a preset calls `name` (ORG/NAME, or ORG/NAME/FILE) below `mirror`; False: there is no toy of it."""
    place, last = mirror / name, Path(name).name
    if last in FOLDERS and not place.exists():
        place.mkdir(parents=True)
        FOLDERS[last](place)
    for end, make in FILES.items():
        if name.endswith(end) and not place.exists():
            place.parent.mkdir(parents=True, exist_ok=True)
            make(place)
    return place.exists()


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
    from icefall_discrete.extraction.presets import presets

    for wanted in sorted({name for names in presets().values() for name in names}):
        print(wanted, "" if put(Path(sys.argv[1]), wanted) else "(there is no toy of it)")
