#!/usr/bin/env bash
set -eou pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
ROOT=$(cd "$HERE/../../.." && pwd)

. "$ROOT/tools/recipe_options.sh"
help_message="Usage: ./run.sh [--option value]...

Parts the two speakers of Libri2Mix by their discrete tokens, and measures how far that is from each of them alone.
Stages (each is done once; a rerun continues where it stopped):
  0  corpus: is it there?
  1  manifests: lists and audio compared, lhotse cuts of train, dev and test
$SHARED_ENHANCEMENT_STAGES
'--recogniser-exp-dir DIR' lets a recogniser hear it in stage 7, for word error rates; with '--vocoder-exp-dir DIR' a vocoder of the
same tokens makes the audio, which tokens without a decoder need.
Another feature type needs './run.sh --feature-type X --stage 2'.
$SHARED_NOTES"
feature_type=speechtokenizer           # conf/features/<name>.json here or in the package, or a path to such a file
speed_factors=1.0                      # speeds of the copies of the training data
train_set=train-100                    # train-100 or train-360
mixture=mix_clean                      # mix_clean, or mix_both with noise
librispeech_dir=                       # folder of LibriSpeech, for transcripts
. "$ROOT/tools/parse_options.sh"

corpus=libri2mix
title="Libri2Mix: two speakers parted"
train_split=train dev_splits=dev test_splits=test mixture_sources="source1 source2"
corpus_options="train_set mixture"
. "$ROOT/tools/recipe.sh"

corpus_dir=$dl_dir/Libri2Mix/wav16k/min
corpus_stage "Libri2Mix in $corpus_dir" "$data_dir/.done-0" "" "$corpus_dir/metadata" -- \
  python "$ROOT/local/find_corpus.py" --folder "$corpus_dir" \
  --advice "make it there from LibriSpeech and WHAM! with the scripts of https://github.com/JorisCos/LibriMix (2 speakers, 16k, min)"
manifests_stage "manifests" \
  python local/prepare.py --corpus-dir "$corpus_dir" --data-dir "$data_dir" --train-set "$train_set" --mixture "$mixture" \
  --librispeech-dir "$librispeech_dir" --nj "$nj"
run_stages
