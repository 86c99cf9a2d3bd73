#!/usr/bin/env bash
set -eou pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
ROOT=$(cd "$HERE/../../.." && pwd)

. "$ROOT/tools/recipe_options.sh"
help_message="Usage: ./run.sh [--option value]...

Trains a model on 1211 speakers of VoxCeleb1, on discrete tokens, and verifies with its embeddings whether two utterances are
of one speaker, of 40 others.
Stages (each is done once; a rerun continues where it stopped):
  0  corpus: is it there?
  1  manifests and trials: the list of trials and audio compared, lhotse cuts of train, dev and test; trials of dev drawn
$SHARED_VERIFICATION_STAGES
Another feature type needs './run.sh --feature-type X --stage 2'.
$SHARED_NOTES"
feature_type=speechtokenizer           # conf/features/<name>.json here or in the package, a path to such a file, or several joined by +
speed_factors=1.0                      # speeds of the copies of the training data
dl_dir=$ROOT/egs/voxceleb/SID/download # where the corpus lies, for both tasks
trial_list=veri_test2.txt              # the corrected list of trials, or the first one, veri_test.txt
num_dev_trials=10000                   # most trials of dev of each sort, of the same speaker and of different ones
check_counts=true                      # refuse numbers of trials, speakers and utterances that are not the published ones
. "$ROOT/tools/parse_options.sh"

corpus=voxceleb_verification
title="VoxCeleb1: is it the same speaker"
train_split=train dev_splits=dev test_splits=test
corpus_options="trial_list num_dev_trials"
. "$ROOT/tools/recipe.sh"

corpus_dir=$dl_dir/voxceleb1
corpus_stage "VoxCeleb1 in $corpus_dir" "$data_dir/.done-0" "trial_list=$trial_list" "$corpus_dir/$trial_list" "$corpus_dir/wav" -- \
  python "$ROOT/local/find_corpus.py" --folder "$corpus_dir" \
  --advice "unpack vox1_dev_wav.zip and vox1_test_wav.zip (both hold wav/) there, and put $trial_list beside wav/; all are asked \
for and linked at https://www.robots.ox.ac.uk/~vgg/data/voxceleb/vox1.html"
manifests_stage "manifests and trials" \
  python local/prepare.py --corpus-dir "$corpus_dir" --data-dir "$data_dir" --nj "$nj" --trial-list "$trial_list" \
  --check-counts "$check_counts" -- \
  python "$ROOT/local/draw_trials.py" --manifests-dir "$data_dir/manifests" --corpus "$corpus" --splits dev \
  --trials-dir "$data_dir/trials" --num-trials "$num_dev_trials" --seed "$seed"
run_stages
