#!/usr/bin/env bash
set -eou pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
ROOT=$(cd "$HERE/../../.." && pwd)

help_message="Usage: ./run_noise.sh [--option value]...

Measures what noise does to an experiment that run.sh has trained; nothing is trained again. Stages (each is done once; a
rerun continues where it stopped):
  0  noisy versions of the test set: audio and manifests
  1  codes or features of them, with the tokenizer of the experiment
  2  decoding of the clean and the noisy test sets
  3  error rates
  4  token stability: unit edit distance between codes of clean and of noisy audio
  5  tables and chart in RESULTS.md
Relative paths are relative to the recipe's folder."

. "$ROOT/tools/noise_options.sh"
feature_type=whisper_base_l5l0_2km1000 # of the experiment, as for run.sh
. "$ROOT/tools/parse_options.sh"

corpus=asterisk
title="Asterisk core sounds"
train_split=train dev_splits=dev test_splits=test
corpus_options=
. "$ROOT/tools/noise.sh"
noise_stages
