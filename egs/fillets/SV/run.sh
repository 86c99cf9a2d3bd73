#!/usr/bin/env bash
set -eou pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
ROOT=$(cd "$HERE/../../.." && pwd)
ASR=$ROOT/egs/fillets/ASR # the same corpus

. "$ROOT/tools/recipe_options.sh"
help_message="Usage: ./run.sh [--option value]...

Trains a model on the voices of a game in Czech and Dutch, on discrete tokens, and verifies with its embeddings whether two lines
of one language are in the same voice, from nothing to a table of error rates.
Stages (each is done once; a rerun continues where it stopped):
  0  environment and corpus download, to where ../ASR looks for it
  1  manifests: those of all dialogue, then the lines of voices with enough of them; trials of dev and test drawn
$SHARED_VERIFICATION_STAGES
Another feature type needs './run.sh --feature-type X --stage 2'.
$SHARED_NOTES"
feature_type=mfcc_km500                # conf/features/<name>.json here or in the package, a path to such a file, or several joined by +
dl_dir=$ASR/download                   # downloaded files
packages_dir=                          # folder of the packages' .deb files, for those fetched by hand (default: apt-get fetches them)
min_utterances=20                      # fewest training utterances of a voice; the lines of others are left out
num_trials=2000                        # most trials of each sort in a language, of the same voice and of different ones
subset=                                # keep this many short utterances a split: a test of the pipeline, no result
check_counts=true                      # refuse a corpus with another number of utterances than published
. "$ROOT/tools/parse_options.sh"
[[ -z $subset || $subset =~ ^[1-9][0-9]*$ ]] || _option_error "--subset must be a whole number above 0, not '$subset'"

corpus=fillets_verification
title="Fish Fillets NG: is it the same voice"
train_split=train dev_splits=dev test_splits=test
corpus_options="min_utterances num_trials subset check_counts"
known_languages="cs nl"
. "$ROOT/tools/recipe.sh"
[ -z "$subset" ] || results_dir= # within the experiment: the figures of a subset are no results

corpus_stage "corpus download to $dl_dir" "$dl_dir/fillets/.done-0" "" "$dl_dir"/fillets/{cs,nl}/md5sums -- \
  python "$ASR/local/download.py" --dl-dir "$dl_dir" --packages-dir "$packages_dir"
manifests_stage "manifests of voices and trials" \
  python "$ASR/local/prepare.py" --corpus-dir "$dl_dir/fillets" --data-dir "$data_dir" --nj "$nj" --subset "${subset:-0}" \
  --check-counts "$check_counts" -- \
  python "$ROOT/local/choose_classes.py" --manifests-dir "$data_dir/manifests" --source fillets --corpus "$corpus" \
  --fact speaker --min-utterances "$min_utterances" -- \
  python "$ROOT/local/draw_trials.py" --manifests-dir "$data_dir/manifests" --corpus "$corpus" --within language \
  --trials-dir "$data_dir/trials" --num-trials "$num_trials" --seed "$seed"
run_stages
