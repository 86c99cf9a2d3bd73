#!/usr/bin/env bash
set -eou pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
ROOT=$(cd "$HERE/../../.." && pwd)

. "$ROOT/tools/recipe_options.sh"
help_message="Usage: ./run.sh [--option value]...

Makes the noisy speech of VoiceBank + DEMAND clean by its discrete tokens, and measures how far that is from the clean recordings.
Stages (each is done once; a rerun continues where it stopped):
  0  corpus: is it there?
  1  manifests: noisy and clean audio compared, lhotse cuts of train, dev and test
$SHARED_ENHANCEMENT_STAGES
'--recogniser-exp-dir DIR' lets a recogniser hear it in stage 7, for word error rates; with '--vocoder-exp-dir DIR' a vocoder of the
same tokens makes the audio, which tokens without a decoder need.
Another feature type needs './run.sh --feature-type X --stage 2'.
$SHARED_NOTES"
feature_type=speechtokenizer           # conf/features/<name>.json here or in the package, or a path to such a file
speed_factors=1.0                      # speeds of the copies of the training data
resample=true
. "$ROOT/tools/parse_options.sh"

corpus=voicebank_demand
title="VoiceBank + DEMAND: noisy speech made clean"
train_split=train dev_splits=dev test_splits=test mixture_sources=clean
corpus_options=
. "$ROOT/tools/recipe.sh"

corpus_dir=$dl_dir/voicebank_demand
corpus_stage "VoiceBank + DEMAND in $corpus_dir" "$data_dir/.done-0" "" "$corpus_dir/noisy_testset_wav" -- \
  python "$ROOT/local/find_corpus.py" --folder "$corpus_dir" \
  --advice "unpack clean_trainset_28spk_wav.zip, noisy_trainset_28spk_wav.zip, clean_testset_wav.zip, noisy_testset_wav.zip and the \
two of texts there; they are linked at https://doi.org/10.7488/ds/2117"
manifests_stage "manifests" \
  python local/prepare.py --corpus-dir "$corpus_dir" --data-dir "$data_dir" --nj "$nj"
run_stages
