#!/usr/bin/env bash
set -eou pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
ROOT=$(cd "$HERE/../../.." && pwd)

. "$ROOT/tools/recipe_options.sh"
help_message="Usage: ./run.sh [--option value]...

Trains and scores a recogniser of children's speech on discrete tokens, of one view or of several.
Stages (each is done once; a rerun continues where it stopped):
  0  corpus: is it there? It is the LDC's, and needs a licence
  1  manifests: audio and transcripts compared, utterances filtered, lhotse cuts of train, dev and test
$SHARED_STAGES
$SHARED_NOTES
No hypotheses mean that utterances are filtered by length alone."
feature_type=wavlm_large_l24_km2000    # conf/features/<name>.json here or in the package, a path to such a file, or several joined by +
min_words=3                            # utterances of fewer words are left out
max_sec=30                             # longer utterances of train and dev are left out (s)
max_wer=50                             # utterances whose hypothesis has a higher word error rate (%) are left out
hypotheses=                            # a recogniser's texts of the utterances, lines 'id<tab>text'
cmu_kids=                              # folder of CMU Kids (LDC97S63): a further test set
test_sets=                             # folder with a folder for each other test set: audio, and its transcripts in text
. "$ROOT/tools/parse_options.sh"
sets_of_folder=
if [ -n "$test_sets" ]; then
  for folder in "$test_sets"/*/; do
    [ -d "$folder" ] || _option_error "--test-sets must be a folder with a folder for each test set, not '$test_sets'"
    sets_of_folder+=" $(basename "$folder")"
  done
fi

corpus=myst
title="MyST, children's speech"
train_split=train dev_splits=dev test_splits="test${cmu_kids:+ cmu_kids}$sets_of_folder"
corpus_options="min_words max_sec max_wer hypotheses cmu_kids test_sets"
. "$ROOT/tools/recipe.sh"

corpus_dir=$dl_dir/myst_child_conv_speech
corpus_stage "MyST in $corpus_dir" "$data_dir/.done-0" "" "$corpus_dir/data" -- \
  python "$ROOT/local/find_corpus.py" --folder "$corpus_dir" \
  --advice "get LDC2021S05 from https://catalog.ldc.upenn.edu/LDC2021S05, which needs a licence, and copy or link its folder \
myst_child_conv_speech (with data/train, data/development and data/test) into $dl_dir"
manifests_stage "manifests" \
  python local/prepare.py --corpus-dir "$corpus_dir" --data-dir "$data_dir" --nj "$nj" --min-words "$min_words" \
  --max-duration "$max_sec" --max-wer "$max_wer" ${hypotheses:+--hypotheses "$hypotheses"} -- \
  python local/prepare_sets.py --data-dir "$data_dir" --nj "$nj" ${cmu_kids:+--cmu-kids "$cmu_kids"} \
  ${test_sets:+--test-sets "$test_sets"}
run_stages
