#!/usr/bin/env bash
set -eou pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
ROOT=$(cd "$HERE/../../.." && pwd)

help_message="Usage: ./run.sh [--option value]...

Trains and scores a speech recogniser for one language of Common Voice on discrete tokens.
Stages (each is done once; a rerun continues where it stopped):
  0  corpus: its archive, which is yours to download, is unpacked
  1  manifests: lists and clips compared, lhotse cuts of train, dev and test
  2  fit of the tokenizer, where it needs one, on training data only
  3  extraction of codes or features, with speed-perturbed copies of the training data
  4  check of what was extracted, one-page report
  5  BPE model of the text
  6  training
  7  decoding of dev and test with averaged checkpoints
  8  error rates, RESULTS.md
Every language has data, experiments and rows of results of its own. Relative paths are relative to the recipe's folder.
An empty option means the value of the recipe file conf/recipes/<recipe>.json."

. "$ROOT/tools/recipe_options.sh"
feature_type=hubert_large_l24_km2000   # conf/features/<name>.json here or in the package, a path to such a file, or several joined by +
lang=cy                                # code of the language, as Common Voice has it: cy, eu, de, zh-TW, ...
release=cv-corpus-17.0-2024-03-15      # release of the corpus, the folder in its archives
text_rule=words                        # words: lower case without punctuation; written: case and punctuation kept, as in DASB
sample_rate=16000                      # rate that audio is resampled to as it is read: that of the tokenizer (Hz)
. "$ROOT/tools/parse_options.sh"

variant=$lang
data_dir=$data_dir/$variant
corpus=commonvoice
title="Common Voice"
train_split=train dev_splits=dev test_splits=test
corpus_options="lang release text_rule sample_rate"
. "$ROOT/tools/recipe.sh"

if begin_stage 0 "Common Voice in $dl_dir/$release/$lang" "$dl_dir/$release/.done-0-$lang" "" "$dl_dir/$release/$lang"; then
  python "$ROOT/local/find_corpus.py" --folder "$dl_dir/$release/$lang" --archive "$dl_dir/$release-$lang.tar.gz" \
    --advice "download $release-$lang.tar.gz, which needs your agreement, from https://commonvoice.mozilla.org/datasets and put it into $dl_dir"
  end_stage
fi

if begin_stage 1 "manifests" "$data_dir/manifests/.done-1" "$data_settings" "${corpus_cuts[@]}"; then
  python local/prepare.py --corpus-dir "$dl_dir/$release" --data-dir "$data_dir" --lang "$lang" --text-rule "$text_rule" \
    --sample-rate "$sample_rate" --nj "$nj"
  end_stage
fi

token_stages
