# The recipe of an own corpus behind its choices: to be sourced by a run.sh that tools/new_corpus.sh made, which has set
# HERE, ROOT, all options of recipe_options.sh and own_corpus_options.sh, and
#   source    folder or file with the audio and its texts, or a link to it
#   corpus    name of its folder and of its manifests
#   title     heading of RESULTS.md
# It ends with `run_stages`.

train_split=train dev_splits=dev test_splits=test
corpus_options="source language source_format columns text_rule numbers tags split_by sample_rate shortest longest exclude"
. "$ROOT/tools/recipe.sh"

corpus_stage "the source, $source" "$data_dir/.done-0" "$source" "$source" -- \
  python "$ROOT/local/find_corpus.py" --folder "$source" \
  --advice "let $source be a link to the folder or file with the audio and its texts, or say --source PATH"
manifests_stage "manifests, and a report on the corpus in $data_dir/report.md" \
  python "$ROOT/local/prepare_own.py" --source "$source" --corpus "$corpus" --title "$title" --data-dir "$data_dir" \
  --language "$language" --source-format "$source_format" --columns "$columns" --text-rule "$text_rule" \
  --numbers "$numbers" --tags "$tags" --split-by "$split_by" --sample-rate "$sample_rate" --shortest "$shortest" \
  --longest "$longest" --exclude "$exclude" --nj "$nj"
