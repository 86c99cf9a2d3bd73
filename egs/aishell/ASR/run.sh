#!/usr/bin/env bash
set -eou pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
ROOT=$(cd "$HERE/../../.." && pwd)

help_message="Usage: ./run.sh [--option value]...

Trains and scores a Mandarin speech recogniser on discrete tokens of AISHELL-1. Labels are characters; a word error rate
counts each Chinese character as a word, and is the character error rate.
Stages (each is done once; a rerun continues where it stopped):
  0  environment and corpus download (a corpus that is there already is used: give --dl-dir)
  1  manifests: lhotse cuts of train, dev, test
  2  fit of the tokenizer, where it needs one, on training data only
  3  extraction of codes or features, with speed-perturbed copies of the training data
  4  check of what was extracted, one-page report
  5  list of the characters
  6  training
  7  decoding of dev and test with averaged checkpoints
  8  error rates, RESULTS.md
Another feature type needs './run.sh --feature-type X --stage 2'. Relative paths are relative to the recipe's folder.
An empty option means the value of the recipe file, conf/recipes/<recipe>.json here or in the package."

. "$ROOT/tools/recipe_options.sh"
feature_type=wavlm_large_l24_km2000    # conf/features/<name>.json here or in the package, a path to such a file, or several joined by +
check_counts=true                      # refuse a corpus with another number of utterances than published
dl_dir=$HERE/download                  # folder that holds aishell/data_aishell/, or will
. "$ROOT/tools/parse_options.sh"

corpus=aishell
title="AISHELL-1"
train_split=train dev_splits=dev test_splits=test
corpus_options=check_counts
. "$ROOT/tools/recipe.sh"

if begin_stage 0 "corpus download to $dl_dir" "$data_dir/.done-0" "$(settings_of dl_dir)"; then
  python local/download.py --dl-dir "$dl_dir"
  end_stage
fi

if begin_stage 1 "manifests" "$data_dir/manifests/.done-1" "$data_settings" "${corpus_cuts[@]}"; then
  python local/prepare.py --corpus-dir "$dl_dir/aishell" --data-dir "$data_dir" --check-counts "$check_counts"
  end_stage
fi

token_stages
