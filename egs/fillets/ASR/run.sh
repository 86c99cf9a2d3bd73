#!/usr/bin/env bash
set -eou pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
ROOT=$(cd "$HERE/../../.." && pwd)

. "$ROOT/tools/recipe_options.sh"
help_message="Usage: ./run.sh [--option value]...

Trains and scores a speech recogniser for the Czech and Dutch dialogues of a game on discrete tokens, from nothing to a table of
error rates.
Stages (each is done once; a rerun continues where it stopped):
  0  environment and corpus download
  1  manifests: 16 kHz audio, lhotse cuts, splits
$SHARED_STAGES
Another feature type needs './run.sh --feature-type X --stage 2'.
$SHARED_NOTES"
feature_type=whisper_base_l5l0_2km1000          # conf/features/<name>.json here or in the package, a path to such a file, or several joined by +
packages_dir=                          # folder of the packages' .deb files, for those fetched by hand (default: apt-get fetches them)
subset=                                # keep this many short utterances a split: a test of the pipeline, no result
check_counts=true                      # refuse a corpus with another number of utterances than published
. "$ROOT/tools/parse_options.sh"
[[ -z $subset || $subset =~ ^[1-9][0-9]*$ ]] || _option_error "--subset must be a whole number above 0, not '$subset'"

corpus=fillets
title="Fish Fillets NG"
train_split=train dev_splits=dev test_splits=test
corpus_options="subset check_counts"
known_languages="cs nl"
. "$ROOT/tools/recipe.sh"
[[ -z $packages_dir || $stage -gt 0 || -d $packages_dir ]] || _option_error "--packages-dir $packages_dir is no folder"
[ -z "$subset" ] || results_dir= # within the experiment: the figures of a subset are no results

corpus_stage "corpus download to $dl_dir" "$dl_dir/fillets/.done-0" "" "$dl_dir"/fillets/{cs,nl}/md5sums -- \
  python local/download.py --dl-dir "$dl_dir" --packages-dir "$packages_dir"
manifests_stage "manifests" \
  python local/prepare.py --corpus-dir "$dl_dir/fillets" --data-dir "$data_dir" --nj "$nj" --subset "${subset:-0}" \
  --check-counts "$check_counts"
run_stages
