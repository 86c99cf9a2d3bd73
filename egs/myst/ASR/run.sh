#!/usr/bin/env bash
set -eou pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
ROOT=$(cd "$HERE/../../.." && pwd)

help_message="Usage: ./run.sh [--option value]...

Trains and scores a recogniser of children's speech on discrete tokens, of one view or of several.
Stages (each is done once; a rerun continues where it stopped):
  0  corpus: is it there? It is the LDC's, and needs a licence
  1  manifests: audio and transcripts compared, utterances filtered, lhotse cuts of train, dev and test
  2  fit of the tokenizer, where it needs one, on training data only
  3  extraction of codes or features, with speed-perturbed copies of the training data
  4  check of what was extracted, one-page report
  5  BPE model of the text
  6  training
  7  decoding of dev and test with averaged checkpoints
  8  error rates, RESULTS.md
Relative paths are relative to the recipe's folder. An empty option means the value of the recipe file
conf/recipes/<recipe>.json; no hypotheses mean that utterances are filtered by length alone."

. "$ROOT/tools/recipe_options.sh"
feature_type=wavlm_large_l24_km2000    # conf/features/<name>.json here or in the package, a path to such a file, or several joined by +
min_words=3                            # utterances of fewer words are left out
max_sec=30                             # longer utterances of train and dev are left out (s)
max_wer=50                             # utterances whose hypothesis has a higher word error rate (%) are left out
hypotheses=                            # a recogniser's texts of the utterances, lines 'id<tab>text'
. "$ROOT/tools/parse_options.sh"

corpus=myst
title="MyST, children's speech"
train_split=train dev_splits=dev test_splits=test
corpus_options="min_words max_sec max_wer hypotheses"
. "$ROOT/tools/recipe.sh"

corpus_dir=$dl_dir/myst_child_conv_speech
if begin_stage 0 "MyST in $corpus_dir" "$data_dir/.done-0" "" "$corpus_dir/data"; then
  python "$ROOT/local/find_corpus.py" --folder "$corpus_dir" \
    --advice "get LDC2021S05 from https://catalog.ldc.upenn.edu/LDC2021S05, which needs a licence, and copy or link its folder myst_child_conv_speech (with data/train, data/development and data/test) into $dl_dir"
  end_stage
fi

if begin_stage 1 "manifests" "$data_dir/manifests/.done-1" "$data_settings" "${corpus_cuts[@]}"; then
  python local/prepare.py --corpus-dir "$corpus_dir" --data-dir "$data_dir" --nj "$nj" --min-words "$min_words" \
    --max-duration "$max_sec" --max-wer "$max_wer" ${hypotheses:+--hypotheses "$hypotheses"}
  end_stage
fi

token_stages
