#!/usr/bin/env bash
set -eou pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
ROOT=$(cd "$HERE/../../.." && pwd)

. "$ROOT/tools/recipe_options.sh"
help_message="Usage: ./run.sh [--option value]...

Trains and scores a model that says which of 1251 people speaks, on discrete tokens of VoxCeleb1.
Stages (each is done once; a rerun continues where it stopped):
  0  corpus: is it there?
  1  manifests: the list for identification and audio compared, lhotse cuts of train, dev and test
$SHARED_CLASSIFICATION_STAGES
Another feature type needs './run.sh --feature-type X --stage 2'.
$SHARED_NOTES"
feature_type=speechtokenizer           # conf/features/<name>.json here or in the package, a path to such a file, or several joined by +
speed_factors=1.0                      # speeds of the copies of the training data
check_counts=true                      # refuse a list whose numbers of utterances are not the published ones
. "$ROOT/tools/parse_options.sh"

corpus=voxceleb
title="VoxCeleb1: who speaks"
train_split=train dev_splits=dev test_splits=test
corpus_options=
. "$ROOT/tools/recipe.sh"

corpus_dir=$dl_dir/voxceleb1
corpus_stage "VoxCeleb1 in $corpus_dir" "$data_dir/.done-0" "" "$corpus_dir/iden_split.txt" "$corpus_dir/wav" -- \
  python "$ROOT/local/find_corpus.py" --folder "$corpus_dir" \
  --advice "unpack vox1_dev_wav.zip and vox1_test_wav.zip (both hold wav/) there, and put iden_split.txt beside wav/; all are asked \
for and linked at https://www.robots.ox.ac.uk/~vgg/data/voxceleb/vox1.html"
manifests_stage "manifests" \
  python local/prepare.py --corpus-dir "$corpus_dir" --data-dir "$data_dir" --nj "$nj" --check-counts "$check_counts"
run_stages
