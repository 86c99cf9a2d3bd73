#!/usr/bin/env bash
set -eou pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
ROOT=$(cd "$HERE/../../.." && pwd)
ASR=$ROOT/egs/asterisk/ASR # the same corpus

. "$ROOT/tools/recipe_options.sh"
help_message="Usage: ./run.sh [--option value]...

Makes noisy speech clean by its discrete tokens: a network from the codes of noisy speech to those of clean speech, which the codec
then decodes; from nothing to a table of how far that is from the clean recordings.
Stages (each is done once; a rerun continues where it stopped):
  0  environment and corpus download, to where ../ASR looks for it
  1  manifests: clean speech as in ../ASR, each utterance in a noise and at a ratio of its own, and the clean ones beside
$SHARED_ENHANCEMENT_STAGES
'--recogniser-exp-dir ../ASR/exp/<name>' lets a recogniser hear it in stage 7, for word error rates; with '--vocoder-exp-dir' a
vocoder of the same tokens makes the audio.
Another feature type needs './run.sh --feature-type X --stage 2'.
$SHARED_NOTES"
dl_dir=$ASR/download                   # downloaded files
feature_type=../ASR/conf/features/asterisk_codec.json    # conf/features/<name>.json here or in the package, or a path to such a file
speed_factors=1.0                      # speeds of the copies of the training data
kinds=babble,white,pink                # noises
snrs=15,10,5,0                         # signal-to-noise ratios, in dB
copies=1                               # noisy versions of each training utterance
subset=                                # keep this many short utterances a split: a test of the pipeline, no result
. "$ROOT/tools/parse_options.sh"
[[ -z $subset || $subset =~ ^[1-9][0-9]*$ ]] || _option_error "--subset must be a whole number above 0, not '$subset'"
[[ $copies =~ ^[1-9][0-9]*$ ]] || _option_error "--copies must be a whole number above 0, not '$copies'"
[[ $snrs =~ ^-?[0-9.]+(,-?[0-9.]+)*$ ]] || _option_error "--snrs must be numbers (dB), separated by commas, not '$snrs'"
[[ $kinds =~ ^(babble|white|pink|brown)(,(babble|white|pink|brown))*$ ]] ||
  _option_error "--kinds must be some of babble, white, pink, brown, separated by commas, not '$kinds'"

corpus=asterisk
title="Asterisk core sounds: noisy speech made clean"
train_split=train dev_splits=dev test_splits=test mixture_sources=clean
corpus_options="subset kinds snrs copies"
known_languages="en es fr it ru"
. "$ROOT/tools/recipe.sh"
[ -z "$subset" ] || results_dir= # within the experiment: the figures of a subset are no results

corpus_stage "corpus download to $dl_dir" "$dl_dir/asterisk/.done-0" "" "$dl_dir"/asterisk/{en,es,fr,it,ru}/md5sums -- \
  python "$ASR/local/download.py" --dl-dir "$dl_dir"
manifests_stage "clean and noisy manifests" \
  python "$ASR/local/prepare.py" --corpus-dir "$dl_dir/asterisk" --data-dir "$data_dir/clean" --nj "$nj" --subset "${subset:-0}" -- \
  python local/prepare.py --clean-dir "$data_dir/clean" --data-dir "$data_dir" --kinds "$kinds" --snrs "$snrs" \
  --copies "$copies" --nj "$nj" --seed "$seed"
run_stages
