#!/usr/bin/env bash
set -eou pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
ROOT=$(cd "$HERE/../../.." && pwd)

. "$ROOT/tools/recipe_options.sh"
help_message="Usage: ./run.sh [--option value]...

Trains and scores an English speech recogniser on discrete tokens of GigaSpeech: its subset M of 1000 hours, or another.
Stages (each is done once; a rerun continues where it stopped):
  0  environment; is the corpus there (it needs your signed agreement: README.md says what to put where)
  1  manifests: lhotse cuts of the subset, DEV, TEST
$SHARED_STAGES
Another feature type needs './run.sh --feature-type X --stage 2'.
$SHARED_NOTES"
feature_type=wavlm_large_l24_km2000    # conf/features/<name>.json here or in the package, a path to such a file, or several joined by +
subset=M                               # training subset: XS, S, M (1000 h), L or XL (10000 h)
check_counts=true                      # refuse a subset with another number of utterances than published
check_md5=false                        # compare every audio file with its checksum (reads them all)
dl_dir=$HERE/download                  # folder that holds GigaSpeech/
. "$ROOT/tools/parse_options.sh"

corpus=gigaspeech
title="GigaSpeech"
train_split=$subset dev_splits=DEV test_splits=TEST
variant=
[ "$subset" = M ] || variant=$subset
corpus_options="subset check_counts"
. "$ROOT/tools/recipe.sh"

corpus_stage "corpus in $dl_dir/GigaSpeech" "$data_dir/.done-0${variant:+_$variant}" "$(settings_of dl_dir)" -- \
  python "$ROOT/local/find_corpus.py" --folder "$dl_dir/GigaSpeech/audio" \
  --advice "sign the agreement at https://github.com/SpeechColab/GigaSpeech and fetch the subset $subset, DEV and TEST as it \
says there, so that $dl_dir/GigaSpeech holds GigaSpeech.json and audio/; or give the folder that holds GigaSpeech/ with --dl-dir"
manifests_stage "manifests" \
  python local/prepare.py --corpus-dir "$dl_dir/GigaSpeech" --data-dir "$data_dir" --nj "$nj" --subset "$subset" \
  --check-counts "$check_counts" --check-md5 "$check_md5"
run_stages
