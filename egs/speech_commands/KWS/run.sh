#!/usr/bin/env bash
set -eou pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
ROOT=$(cd "$HERE/../../.." && pwd)

. "$ROOT/tools/recipe_options.sh"
help_message="Usage: ./run.sh [--option value]...

Trains and scores a model that says which of 35 words is spoken, on discrete tokens of Google Speech Commands v2.
Stages (each is done once; a rerun continues where it stopped):
  0  corpus: is it there?
  1  manifests: lists and audio compared, lhotse cuts of train, dev and test
$SHARED_CLASSIFICATION_STAGES
Another feature type needs './run.sh --feature-type X --stage 2'.
$SHARED_NOTES"
feature_type=wavlm_large_l21_km2000    # conf/features/<name>.json here or in the package, a path to such a file, or several joined by +
speed_factors=1.0                      # speeds of the copies of the training data
check_counts=true                      # refuse splits whose numbers of utterances are not those of release 0.02
. "$ROOT/tools/parse_options.sh"

corpus=speech_commands
title="Google Speech Commands v2: which word"
train_split=train dev_splits=dev test_splits=test
corpus_options=
. "$ROOT/tools/recipe.sh"

corpus_dir=$dl_dir/speech_commands_v0.02
corpus_stage "Speech Commands in $corpus_dir" "$data_dir/.done-0" "" "$corpus_dir/testing_list.txt" -- \
  python "$ROOT/local/find_corpus.py" --folder "$corpus_dir" \
  --advice "download http://download.tensorflow.org/data/speech_commands_v0.02.tar.gz (2.3 GB), which holds no folder of its own: \
make that folder and unpack it there (tar -xzf ... -C)"
manifests_stage "manifests" \
  python local/prepare.py --corpus-dir "$corpus_dir" --data-dir "$data_dir" --nj "$nj" --check-counts "$check_counts"
run_stages
