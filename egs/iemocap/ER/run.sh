#!/usr/bin/env bash
set -eou pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
ROOT=$(cd "$HERE/../../.." && pwd)

. "$ROOT/tools/recipe_options.sh"
help_message="Usage: ./run.sh [--option value]...

Trains and scores a model that says which of four emotions an utterance of IEMOCAP is spoken with, on discrete tokens.
Stages (each is done once; a rerun continues where it stopped):
  0  corpus: is it there? It needs a licence
  1  manifests: judgements and audio compared, lhotse cuts of train, dev and test, by session
$SHARED_CLASSIFICATION_STAGES
Another feature type needs './run.sh --feature-type X --stage 2'.
$SHARED_NOTES"
feature_type=wavlm_large_l21_km2000    # conf/features/<name>.json here or in the package, a path to such a file, or several joined by +
test_session=5                         # session that is tested, 1 to 5
dev_session=4                          # session that is for development, another one
. "$ROOT/tools/parse_options.sh"

corpus=iemocap
title="IEMOCAP: which emotion"
train_split=train dev_splits=dev test_splits=test
corpus_options="test_session dev_session"
variant=
if [ "$test_session/$dev_session" != 5/4 ]; then variant=test-$test_session-dev-$dev_session data_dir=$data_dir/$variant; fi
. "$ROOT/tools/recipe.sh"

corpus_dir=$dl_dir/IEMOCAP_full_release
corpus_stage "IEMOCAP in $corpus_dir" "$data_dir/.done-0" "" "$corpus_dir/Session5" -- \
  python "$ROOT/local/find_corpus.py" --folder "$corpus_dir" --archive "$corpus_dir.tar.gz" \
  --advice "ask for it at https://sail.usc.edu/iemocap/iemocap_release.htm, and copy or link its folder IEMOCAP_full_release (or put \
IEMOCAP_full_release.tar.gz) into $dl_dir"
manifests_stage "manifests" \
  python local/prepare.py --corpus-dir "$corpus_dir" --data-dir "$data_dir" --nj "$nj" --test-session "$test_session" \
  --dev-session "$dev_session"
run_stages
