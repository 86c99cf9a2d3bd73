#!/usr/bin/env bash
set -eou pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
ROOT=$(cd "$HERE/../../.." && pwd)

. "$ROOT/tools/recipe_options.sh"
help_message="Usage: ./run.sh [--option value]...

Trains and scores a speech recogniser for one, some or all of seven languages of Multilingual LibriSpeech.
Stages (each is done once; a rerun continues where it stopped):
  0  corpus: archives of the languages, which are yours to download, are unpacked
  1  manifests: transcripts, audio and published counts compared, lhotse cuts of train, dev and test
$SHARED_STAGES
Every choice of languages has data, experiments and rows of results of its own.
$SHARED_NOTES"
feature_type=xlsr53_l21_km2000         # conf/features/<name>.json here or in the package, a path to such a file, or several joined by +
speed_factors=1.0                      # speeds of the copies of the training data
lang=polish                            # dutch, french, german, italian, polish, portuguese, spanish, several by commas, or all
check_counts=true                      # refuse a split whose number of utterances is not the published one
. "$ROOT/tools/parse_options.sh"

known_languages="dutch french german italian polish portuguese spanish"
languages=$lang
[ "$lang" != all ] || languages=${known_languages// /,}
variant=${lang//,/+}
data_dir=$data_dir/$variant
corpus=mls
title="Multilingual LibriSpeech"
train_split=train dev_splits=dev test_splits=test
corpus_options="lang"
. "$ROOT/tools/recipe.sh"

for language in ${languages//,/ }; do
  folder=$dl_dir/mls/mls_$language
  [ -d "$folder" ] || [ -f "$folder.tar.gz" ] || folder=${folder}_opus
  corpus_stage "MLS in $folder" "$dl_dir/mls/.done-0-$language" "" "$folder" -- \
    python "$ROOT/local/find_corpus.py" --folder "$folder" --archive "$folder.tar.gz" \
    --advice "download https://dl.fbaipublicfiles.com/mls/$(basename "$folder").tar.gz (or mls_$language.tar.gz with FLAC; \
README.md has sizes) and put it into $dl_dir/mls"
done
manifests_stage "manifests of $lang" \
  python local/prepare.py --corpus-dir "$dl_dir/mls" --data-dir "$data_dir" --languages "$languages" --nj "$nj" \
  --check-counts "$check_counts"
run_stages
