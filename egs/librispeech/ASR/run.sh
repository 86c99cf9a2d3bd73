#!/usr/bin/env bash
set -eou pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
ROOT=$(cd "$HERE/../../.." && pwd)

. "$ROOT/tools/recipe_options.sh"
help_message="Usage: ./run.sh [--option value]...

Trains and scores an English speech recogniser on discrete tokens of LibriSpeech: train-clean-100, or all 960 hours.
Stages (each is done once; a rerun continues where it stopped):
  0  environment and corpus download (a corpus that is there already is used: give --dl-dir)
  1  manifests: lhotse cuts of the training set, dev-clean, dev-other, test-clean, test-other
$SHARED_STAGES
Another feature type needs './run.sh --feature-type X --stage 2'.
$SHARED_NOTES"
feature_type=hubert_large_l24_km2000   # conf/features/<name>.json here or in the package, a path to such a file, or several joined by +
full_libri=false                       # train on all 960 hours, not on train-clean-100
check_counts=true                      # refuse a corpus with another number of utterances than published
dl_dir=$HERE/download                  # folder that holds LibriSpeech/, or will
. "$ROOT/tools/parse_options.sh"

corpus=librispeech
title="LibriSpeech"
train_split=train-clean-100 dev_splits="dev-clean dev-other" test_splits="test-clean test-other"
train_parts=train-clean-100 variant=
if [ "$full_libri" = true ]; then
  train_split=train-960 train_parts=train-clean-100,train-clean-360,train-other-500 variant=960h
fi
corpus_options="full_libri check_counts"
. "$ROOT/tools/recipe.sh"

eval_parts=dev-clean,dev-other,test-clean,test-other
corpus_stage "corpus download to $dl_dir" "$data_dir/.done-0${variant:+_$variant}" "$(settings_of dl_dir)" -- \
  python local/download.py --dl-dir "$dl_dir" --parts "$train_parts,$eval_parts"
manifests_stage "manifests" \
  python local/prepare.py --corpus-dir "$dl_dir/LibriSpeech" --data-dir "$data_dir" --nj "$nj" --train-split "$train_split" \
  --train-parts "$train_parts" --eval-parts "$eval_parts" --check-counts "$check_counts"
run_stages
