#!/usr/bin/env bash
set -eou pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
ROOT=$(cd "$HERE/../../.." && pwd)

. "$ROOT/tools/recipe_options.sh"
help_message="Usage: ./run.sh [--option value]...

Trains and scores a model that says what a command to an assistant is about, one of 18 scenarios of SLURP, on discrete tokens.
Stages (each is done once; a rerun continues where it stopped):
  0  corpus: is it there?
  1  manifests: lists and audio compared, lhotse cuts of train, dev and test
$SHARED_CLASSIFICATION_STAGES
Another feature type needs './run.sh --feature-type X --stage 2'.
$SHARED_NOTES"
feature_type=wavlm_large_l21_km2000    # conf/features/<name>.json here or in the package, a path to such a file, or several joined by +
speed_factors=1.0                      # speeds of the copies of the training data
synthetic=false                        # train on the corpus' synthesised speech too
. "$ROOT/tools/parse_options.sh"

corpus=slurp
title="SLURP: which scenario"
train_split=train dev_splits=dev test_splits=test
corpus_options=synthetic
variant=
if [ "$synthetic" = true ]; then variant=synthetic data_dir=$data_dir/$variant; fi
. "$ROOT/tools/recipe.sh"

corpus_dir=$dl_dir/slurp
corpus_stage "SLURP in $corpus_dir" "$data_dir/.done-0" "" "$corpus_dir/dataset/slurp/test.jsonl" "$corpus_dir/audio" -- \
  python "$ROOT/local/find_corpus.py" --folder "$corpus_dir" \
  --advice "git clone https://github.com/pswietojanski/slurp there, run its scripts/download_audio.sh (6 GB) and unpack both \
archives in its audio/"
manifests_stage "manifests" \
  python local/prepare.py --corpus-dir "$corpus_dir" --data-dir "$data_dir" --nj "$nj" --synthetic "$synthetic"
run_stages
