#!/usr/bin/env bash
set -eou pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
ROOT=$(cd "$HERE/../../.." && pwd)

. "$ROOT/tools/recipe_options.sh"
# Most tokenizers read another rate than the corpus has.
resample=true
help_message="Usage: ./run.sh [--option value]...

Makes the discrete tokens of LibriTTS sound, and tells them of texts: many English voices.
Stages (each is done once; a rerun continues where it stopped):
  0  corpus: is it there?
  1  manifests: lhotse cuts of train, dev and test
$SHARED_VOCODER_STAGES
$TEXT_TO_SPEECH_NOTE
Another feature type needs './run.sh --feature-type X --stage 2'.
$SHARED_NOTES"
feature_type=speechtokenizer           # conf/features/<name>.json here or in the package, a path to such a file, or several joined by +
speed_factors=1.0                      # speeds of the copies of the training data
train_parts=train-clean-100            # parts to train on, by commas
. "$ROOT/tools/parse_options.sh"

corpus=libritts
title="LibriTTS: text to speech"
train_split=train dev_splits=dev-clean test_splits=test-clean
corpus_options=train_parts
. "$ROOT/tools/recipe.sh"

corpus_dir=$dl_dir/LibriTTS
corpus_stage "LibriTTS in $corpus_dir" "$data_dir/.done-0" "" "$corpus_dir/dev-clean" "$corpus_dir/test-clean" -- \
  python "$ROOT/local/find_corpus.py" --folder "$corpus_dir" \
  --advice "unpack train-clean-100.tar.gz, dev-clean.tar.gz and test-clean.tar.gz there; they are linked at https://www.openslr.org/60"
manifests_stage "manifests" \
  python local/prepare.py --corpus-dir "$corpus_dir" --data-dir "$data_dir" --nj "$nj" --train-parts "$train_parts"
run_stages
