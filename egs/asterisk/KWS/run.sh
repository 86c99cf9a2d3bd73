#!/usr/bin/env bash
set -eou pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
ROOT=$(cd "$HERE/../../.." && pwd)
ASR=$ROOT/egs/asterisk/ASR # the same corpus

. "$ROOT/tools/recipe_options.sh"
help_message="Usage: ./run.sh [--option value]...

Trains and scores a model that says which digit or letter a word is of, whatever the language, on discrete tokens, from nothing to
a table of accuracies.
Stages (each is done once; a rerun continues where it stopped):
  0  environment and corpus download, to where ../ASR looks for it
  1  manifests: those of all prompts, then the prompts of a digit or a letter, split by the form of the word
$SHARED_CLASSIFICATION_STAGES
Another feature type needs './run.sh --feature-type X --stage 2'.
$SHARED_NOTES"
feature_type=mfcc_km500                # conf/features/<name>.json here or in the package, a path to such a file, or several joined by +
dl_dir=$ASR/download                   # downloaded files
. "$ROOT/tools/parse_options.sh"

corpus=asterisk_keywords
title="Asterisk core sounds: which digit or letter"
train_split=train dev_splits=dev test_splits=test
corpus_options=
known_languages="en es fr it ru"
. "$ROOT/tools/recipe.sh"

corpus_stage "corpus download to $dl_dir" "$dl_dir/asterisk/.done-0" "" "$dl_dir"/asterisk/{en,es,fr,it,ru}/md5sums -- \
  python "$ASR/local/download.py" --dl-dir "$dl_dir"
manifests_stage "manifests of digits and letters" \
  python "$ASR/local/prepare.py" --corpus-dir "$dl_dir/asterisk" --data-dir "$data_dir" --nj "$nj" -- \
  python local/prepare.py --data-dir "$data_dir"
run_stages
