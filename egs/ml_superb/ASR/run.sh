#!/usr/bin/env bash
set -eou pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
ROOT=$(cd "$HERE/../../.." && pwd)

. "$ROOT/tools/recipe_options.sh"
help_message="Usage: ./run.sh [--option value]...

Trains and scores one recogniser of 143 languages on the 1-hour set of ML-SUPERB, as in the challenge of 2024.
Stages (each is done once; a rerun continues where it stopped):
  0  corpus: is it there? It is yours to download
  1  manifests: lists and audio compared, lhotse cuts of train, dev and test, with those of LibriSpeech if wanted
$SHARED_STAGES
Stage 8 makes the challenge's own scores too: CER with spaces, bits a second. No folder of LibriSpeech manifests means that
ML-SUPERB is used alone. $SHARED_NOTES"
feature_type=wavlm_large_l21_km2000    # conf/features/<name>.json here or in the package, a path to such a file, or several joined by +
speed_factors=1.0                      # speeds of the copies of the training data
librispeech_manifests=                 # folder of the cuts that egs/librispeech/ASR made, to train and test on as the challenge does
sources=                               # sources of the corpus, by commas (default: all 14)
. "$ROOT/tools/parse_options.sh"

corpus=ml_superb
title="ML-SUPERB, 1-hour set"
train_split=train dev_splits=dev test_splits="test${librispeech_manifests:+ librispeech}"
corpus_options="librispeech_manifests sources"
. "$ROOT/tools/recipe.sh"

corpus_dir=$dl_dir/ml_superb
corpus_stage "ML-SUPERB in $corpus_dir" "$data_dir/.done-0" "" "$corpus_dir" -- \
  python "$ROOT/local/find_corpus.py" --folder "$corpus_dir" \
  --advice "get the corpus (its 8th version; README.md says where) and unpack it so that $corpus_dir/mls, .../voxforge and the \
other sources hold <language>/wav and <language>/transcript_1h_train.txt"
manifests_stage "manifests" \
  python local/prepare.py --corpus-dir "$corpus_dir" --data-dir "$data_dir" --nj "$nj" ${sources:+--sources "$sources"} \
  ${librispeech_manifests:+--librispeech-manifests "$librispeech_manifests"}
run_stages

marker=$exp_dir/.done-8-challenge-$decoding_method
if begin_stage 8 "scores of the challenge" "$marker" "$decode_settings" "$exp_dir/challenge.json"; then
  python local/challenge_score.py --exp-dir "$exp_dir" --decoding-method "$decoding_method" --feature-dir "$features_dir" \
    --splits "${test_splits// /,}"
  end_stage
fi
