#!/usr/bin/env bash
set -eou pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
ROOT=$(cd "$HERE/../../.." && pwd)
PROMPTS=$ROOT/egs/asterisk/ASR GAME=$ROOT/egs/fillets/ASR # the two corpora

. "$ROOT/tools/recipe_options.sh"
help_message="Usage: ./run.sh [--option value]...

Trains and scores one speech recogniser for seven languages, those of the recipes asterisk and fillets, on discrete tokens, from
nothing to a table of error rates by language.
Stages (each is done once; a rerun continues where it stopped):
  0  environment and download of both corpora, to where their own recipes look for them
  1  manifests of both, and the two joined
$SHARED_STAGES
Another feature type needs './run.sh --feature-type X --stage 2'.
$SHARED_NOTES"
feature_type=whisper_base_l5l0_2km1000 # conf/features/<name>.json here or in the package, a path to such a file, or several joined by +
dl_dir=                                # downloaded files of both corpora (default: for each the folder of its own recipe)
packages_dir=                          # folder of the .deb files of fillets, for those fetched by hand (default: apt-get fetches them)
subset=                                # keep about this many short utterances a split: a test of the pipeline, no result
. "$ROOT/tools/parse_options.sh"
[[ -z $subset || $subset =~ ^[1-9][0-9]*$ ]] || _option_error "--subset must be a whole number above 0, not '$subset'"

corpus=seven
title="Seven languages: Asterisk core sounds and Fish Fillets NG"
train_split=train dev_splits=dev test_splits=test
corpus_options=subset
known_languages="cs en es fr it nl ru"
. "$ROOT/tools/recipe.sh"
[[ -z $packages_dir || $stage -gt 0 || -d $packages_dir ]] || _option_error "--packages-dir $packages_dir is no folder"
[ -z "$subset" ] || results_dir= # within the experiment: the figures of a subset are no results
prompts_dir=${dl_dir:-$PROMPTS/download} game_dir=${dl_dir:-$GAME/download}
of_prompts=$(((${subset:-0} * 5 + 6) / 7)) of_game=$(((${subset:-0} * 2 + 6) / 7)) # five and two languages, as many of each

corpus_stage "download of asterisk to $prompts_dir" "$prompts_dir/asterisk/.done-0" "" \
  "$prompts_dir"/asterisk/{en,es,fr,it,ru}/md5sums -- python "$PROMPTS/local/download.py" --dl-dir "$prompts_dir"
corpus_stage "download of fillets to $game_dir" "$game_dir/fillets/.done-0" "" "$game_dir"/fillets/{cs,nl}/md5sums -- \
  python "$GAME/local/download.py" --dl-dir "$game_dir" --packages-dir "$packages_dir"
manifests_stage "manifests of both corpora, joined" \
  python "$PROMPTS/local/prepare.py" --corpus-dir "$prompts_dir/asterisk" --data-dir "$data_dir" --nj "$nj" --subset "$of_prompts" -- \
  python "$GAME/local/prepare.py" --corpus-dir "$game_dir/fillets" --data-dir "$data_dir" --nj "$nj" --subset "$of_game" -- \
  python "$ROOT/local/join_manifests.py" --manifests-dir "$data_dir/manifests" --corpora asterisk,fillets --corpus "$corpus"
run_stages
