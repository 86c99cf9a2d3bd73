#!/usr/bin/env bash
set -eou pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
ROOT=$(cd "$HERE/../../.." && pwd)

. "$ROOT/tools/recipe_options.sh"
help_message="Usage: ./run.sh [--option value]...

Trains and scores a Mandarin speech recogniser on discrete tokens of AISHELL-1. Labels are characters; a word error rate
counts each Chinese character as a word, and is the character error rate.
Stages (each is done once; a rerun continues where it stopped):
  0  environment and corpus download (a corpus that is there already is used: give --dl-dir)
  1  manifests: lhotse cuts of train, dev, test
$SHARED_STAGES
Another feature type needs './run.sh --feature-type X --stage 2'.
$SHARED_NOTES"
feature_type=wavlm_large_l24_km2000    # conf/features/<name>.json here or in the package, a path to such a file, or several joined by +
check_counts=true                      # refuse a corpus with another number of utterances than published
dl_dir=$HERE/download                  # folder that holds aishell/data_aishell/, or will
. "$ROOT/tools/parse_options.sh"

corpus=aishell
title="AISHELL-1"
train_split=train dev_splits=dev test_splits=test
corpus_options=check_counts
. "$ROOT/tools/recipe.sh"

corpus_stage "corpus download to $dl_dir" "$data_dir/.done-0" "$(settings_of dl_dir)" -- \
  python local/download.py --dl-dir "$dl_dir"
manifests_stage "manifests" \
  python local/prepare.py --corpus-dir "$dl_dir/aishell" --data-dir "$data_dir" --check-counts "$check_counts"
run_stages
