#!/usr/bin/env bash
set -eou pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
ROOT=$(cd "$HERE/../../.." && pwd)
ASR=$ROOT/egs/asterisk/ASR # the same corpus, manifests and codes

. "$ROOT/tools/recipe_options.sh"
help_message="Usage: ./run.sh [--option value]...

Makes the discrete tokens of ../ASR sound: trains a vocoder from codes to audio, lets it say the codes of dev and test, and
measures how far that is from the recordings, from nothing to a table. Tokens are made if they are not there.
Stages (each is done once; a rerun continues where it stopped):
  0  environment and corpus download
  1  manifests: 16 kHz audio, lhotse cuts, splits
$SHARED_VOCODER_STAGES
$TEXT_TO_SPEECH_NOTE
'--recogniser-exp-dir ../ASR/exp/<name>' lets a recogniser hear it in stage 7, for word error rates; '--classifier-exp-dir C' and
'--verifier-exp-dir V', models of recipes LID or SID and SV, tell whose voice is heard.
Another feature type needs './run.sh --feature-type X --stage 2'.
$SHARED_NOTES"
dl_dir=$ASR/download                   # downloaded files
data_dir=$ASR/data                     # prepared data
feature_type=mfcc_km500                # conf/features/<name>.json here or in the package, a path to such a file, or several joined by +
subset=                                # keep this many short utterances a split: a test of the pipeline, no result
. "$ROOT/tools/parse_options.sh"
[[ -z $subset || $subset =~ ^[1-9][0-9]*$ ]] || _option_error "--subset must be a whole number above 0, not '$subset'"

corpus=asterisk
title="Asterisk core sounds: tokens back to sound"
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
