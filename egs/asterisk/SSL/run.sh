#!/usr/bin/env bash
set -eou pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
ROOT=$(cd "$HERE/../../.." && pwd)
ASR=$ROOT/egs/asterisk/ASR # the same corpus, manifests and codes

. "$ROOT/tools/recipe_options.sh"
help_message="Usage: ./run.sh [--option value]...

Trains an encoder on the discrete tokens of ../ASR, which it makes if they are not there, without any transcript: it learns
to find tokens that were hidden (Discrete BERT), or frames of the waveform (--recipe wav2vec2_small --feature-type waveform).
A recogniser of ../ASR can begin with it. With --recipe wav2vec_u_small letters are learnt from speech and text that are
no pairs: stage 6 trains seeds, 7 lets them say dev and test, 8 tells their errors.
Stages (each is done once; a rerun continues where it stopped):
  0  environment and corpus download
  1  manifests: 16 kHz audio, lhotse cuts, splits
$SHARED_SSL_STAGES
Another feature type needs './run.sh --feature-type X --stage 2'.
$SHARED_NOTES"
dl_dir=$ASR/download                   # downloaded files
data_dir=$ASR/data                     # prepared data
feature_type=whisper_base_l5l0_2km1000 # conf/features/<name>.json here or in the package, a path to such a file, or several joined by +
subset=                                # keep this many short utterances a split: a test of the pipeline, no result
. "$ROOT/tools/parse_options.sh"
[[ -z $subset || $subset =~ ^[1-9][0-9]*$ ]] || _option_error "--subset must be a whole number above 0, not '$subset'"

corpus=asterisk
title="Asterisk core sounds: hidden tokens"
train_split=train dev_splits=dev test_splits=test
corpus_options=subset
known_languages="en es fr it ru"
. "$ROOT/tools/recipe.sh"
[ -z "$subset" ] || results_dir= # within the experiment: the figures of a subset are no results

corpus_stage "corpus download to $dl_dir" "$dl_dir/asterisk/.done-0" "" "$dl_dir"/asterisk/{en,es,fr,it,ru}/md5sums -- \
  python "$ASR/local/download.py" --dl-dir "$dl_dir"
manifests_stage "manifests" \
  python "$ASR/local/prepare.py" --corpus-dir "$dl_dir/asterisk" --data-dir "$data_dir" --nj "$nj" --subset "${subset:-0}"
run_stages
