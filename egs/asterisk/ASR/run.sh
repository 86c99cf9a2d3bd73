#!/usr/bin/env bash
set -eou pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
ROOT=$(cd "$HERE/../../.." && pwd)

help_message="Usage: ./run.sh [--option value]...

Trains and scores a speech recogniser for five languages on discrete tokens, from nothing to a table of error rates.
Stages (each is done once; a rerun continues where it stopped):
  0  environment and corpus download
  1  manifests: 16 kHz audio, lhotse cuts, splits
  2  fit of the tokenizer, where it needs one, on training data only
  3  extraction of codes or features, with speed-perturbed copies of the training data
  4  check of what was extracted, one-page report
  5  BPE model of the text
  6  training
  7  decoding of dev and test with averaged checkpoints
  8  error rates, RESULTS.md
Another feature type needs './run.sh --feature-type X --stage 2'. Relative paths are relative to the recipe's folder.
An empty option means the value of the recipe file conf/recipes/<recipe>.json."

. "$ROOT/tools/recipe_options.sh"
feature_type=whisper_tiny_km500        # conf/features/<name>.json here or in the package, a path to such a file, or several joined by +
subset=                                # keep this many short utterances a split: a test of the pipeline, no result
. "$ROOT/tools/parse_options.sh"

corpus=asterisk
title="Asterisk core sounds"
train_split=train dev_splits=dev test_splits=test
corpus_options=subset
. "$ROOT/tools/recipe.sh"
[ -z "$subset" ] || results_dir=$exp_dir/results # the figures of a subset are no results

corpus_files=("$dl_dir"/asterisk/{en,es,fr,it,ru}/md5sums)
if begin_stage 0 "corpus download to $dl_dir" "$dl_dir/asterisk/.done-0" "" "${corpus_files[@]}"; then
  python local/download.py --dl-dir "$dl_dir"
  end_stage
fi

if begin_stage 1 "manifests" "$data_dir/manifests/.done-1" "$data_settings" "${corpus_cuts[@]}"; then
  python local/prepare.py --corpus-dir "$dl_dir/asterisk" --data-dir "$data_dir" --nj "$nj" --subset "${subset:-0}"
  end_stage
fi

token_stages
