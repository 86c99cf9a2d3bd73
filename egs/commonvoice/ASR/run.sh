#!/usr/bin/env bash
set -eou pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
ROOT=$(cd "$HERE/../../.." && pwd)

. "$ROOT/tools/recipe_options.sh"
help_message="Usage: ./run.sh [--option value]...

Trains and scores a speech recogniser for one language of Common Voice on discrete tokens.
Stages (each is done once; a rerun continues where it stopped):
  0  corpus: its archive, which is yours to download, is unpacked
  1  manifests: lists and clips compared, lhotse cuts of train, dev and test
$SHARED_STAGES
Every language has data, experiments and rows of results of its own.
$SHARED_NOTES"
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

corpus_stage "Common Voice in $dl_dir/$release/$lang" "$dl_dir/$release/.done-0-$lang" "" "$dl_dir/$release/$lang" -- \
  python "$ROOT/local/find_corpus.py" --folder "$dl_dir/$release/$lang" --archive "$dl_dir/$release-$lang.tar.gz" \
  --advice "download $release-$lang.tar.gz, which needs your agreement, from https://commonvoice.mozilla.org/datasets \
and put it into $dl_dir"
manifests_stage "manifests" \
  python local/prepare.py --corpus-dir "$dl_dir/$release" --data-dir "$data_dir" --lang "$lang" --text-rule "$text_rule" \
  --sample-rate "$sample_rate" --nj "$nj"
run_stages
