#!/usr/bin/env bash
set -eou pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
ROOT=$(cd "$HERE/../../.." && pwd)

. "$ROOT/tools/recipe_options.sh"
# Most tokenizers read another rate than the corpus has.
resample=true
help_message="Usage: ./run.sh [--option value]...

Makes the discrete tokens of LJ Speech sound, and tells them of texts: one English voice.
Stages (each is done once; a rerun continues where it stopped):
  0  corpus: is it there?
  1  manifests: lhotse cuts of train, dev and test
$SHARED_VOCODER_STAGES
$TEXT_TO_SPEECH_NOTE
Another feature type needs './run.sh --feature-type X --stage 2'.
$SHARED_NOTES"
feature_type=speechtokenizer           # conf/features/<name>.json here or in the package, a path to such a file, or several joined by +
speed_factors=1.0                      # speeds of the copies of the training data
dev_utterances=                        # utterances of dev, those before test (default: as icefall, 100)
test_utterances=                       # utterances of test, the last ones (default: as icefall, 500)
check_counts=true                      # refuse a corpus with another number of utterances than published
. "$ROOT/tools/parse_options.sh"

corpus=ljspeech
title="LJ Speech: text to speech"
train_split=train dev_splits=dev test_splits=test
corpus_options="dev_utterances test_utterances"
. "$ROOT/tools/recipe.sh"

corpus_dir=$dl_dir/LJSpeech-1.1
corpus_stage "LJ Speech in $corpus_dir" "$data_dir/.done-0" "" "$corpus_dir/metadata.csv" "$corpus_dir/wavs" -- \
  python "$ROOT/local/find_corpus.py" --folder "$corpus_dir" \
  --advice "unpack LJSpeech-1.1.tar.bz2 there; it is linked at https://keithito.com/LJ-Speech-Dataset"
manifests_stage "manifests" \
  python local/prepare.py --corpus-dir "$corpus_dir" --data-dir "$data_dir" --check-counts "$check_counts" \
  ${dev_utterances:+--dev-utterances "$dev_utterances"} ${test_utterances:+--test-utterances "$test_utterances"}
run_stages
