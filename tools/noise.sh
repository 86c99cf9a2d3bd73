# What noise does to a trained experiment: noisy versions of a test set, their codes, decoding without another training,
# error rates and token stability. To be sourced by egs/<corpus>/<TASK>/run_noise.sh behind its options, then called as
# `noise_stages`.
#
# run_noise.sh has set HERE, ROOT, all options of noise_options.sh, and what recipe.sh wants to know about the corpus.

. "$ROOT/tools/recipe.sh"
follow_plan noise

cuts_of() { echo "$data_dir/manifests/${corpus}_cuts_$1.jsonl.gz"; }

noisy_split=${noisy_split:-${test_splits%% *}}
noise_dir=$exp_dir/noise # an experiment of its own, whose files are the trained one's: decoding leaves that one alone
audio_dir=$data_dir/noisy_audio
clean_cuts=$(cuts_of "$noisy_split")
conditions=$(for kind in $kinds; do for snr in $snrs; do printf '%s-%s-snr%g\n' "$noisy_split" "$kind" "$snr"; done; done)
noisy_splits=$(paste -sd , <<<"$conditions")
stability=$results_dir/noise/stability/$feature_name$suffix.json

know_json() { # know_json <JSON file>...: to write them in another way changes no settings
  local digests digest file
  digests=$(python "$ROOT/local/digest_settings.py" --conf-dir conf/features "$@")
  while IFS=$'\t' read -r digest file; do know_digest "$file" "$digest"; done <<<"$digests"
}

require_trained() {
  local file
  for file in "$exp_dir"/{config,train}.json "$features_dir"/{spec.json,"$noisy_split.jsonl.gz"} "$clean_cuts" \
    "$(cuts_of "$train_split")"; do
    if [ ! -f "$file" ]; then
      log "$file does not exist; train first: ./run.sh --feature-type $feature_type --recipe $recipe" >&2
      exit 2
    fi
  done
}

mix_stage() {
  local manifests settings
  mapfile -t manifests < <(for condition in $conditions; do cuts_of "$condition"; done)
  settings=$(settings_of seed kinds snrs num_talkers; digest_of "$clean_cuts"; digest_of "$(cuts_of "$train_split")"
    [ -z "$noise_cuts" ] || digest_of "$noise_cuts")
  begin_stage 0 "noisy versions of $noisy_split" "$audio_dir/.done-$noisy_split" "$settings" "${manifests[@]}" || return 0
  python "$ROOT/local/make_noisy.py" --cuts "$clean_cuts" --train-cuts "$(cuts_of "$train_split")" --audio-dir "$audio_dir" \
    --snrs="$snrs" --kinds "$kinds" --num-talkers "$num_talkers" --seed "$seed" --nj "$nj" ${noise_cuts:+--noise-cuts "$noise_cuts"}
  end_stage
}

noisy_extraction_stage() {
  local condition settings
  for condition in $conditions; do
    [ "$stage" -le 1 ] && [ "$stop_stage" -ge 1 ] || continue
    settings=$(digest_of "$features_dir/spec.json"; digest_of "$(cuts_of "$condition")")
    begin_stage 1 "extraction of $feature_name, $condition" "$features_dir/.done-$condition" "$settings" \
      "$features_dir/$condition.jsonl.gz" || continue
    forget_if_changed "$features_dir"/{,.,extract-,dropped-}"$condition".*
    python "$ROOT/local/extract_codes.py" --feature-type "$feature_type" --conf-dir conf/features \
      --cuts "$(cuts_of "$condition")" --split "$condition" --out-dir "$features_dir" --nj "$nj"
    end_stage
  done
}

link_experiment() { # the files of the trained experiment, and of no older one, in $noise_dir
  local file
  mkdir -p "$noise_dir"
  find "$noise_dir" -maxdepth 1 -type l -delete
  for file in "$exp_dir"/*; do
    [ ! -f "$file" ] || [ "${file##*/}" = result.json ] || ln -s "../${file##*/}" "$noise_dir/"
  done
}

noise_settings() { # what decoding depends on
  settings_of decoding_method conditions recipe_digest
  digest_of "$exp_dir/train.json"
  for condition in "$noisy_split" $conditions; do digest_of "$features_dir/$condition.jsonl.gz"; done
}

noisy_decoding_stage() {
  local settings
  [ "$stage" -le 2 ] && [ "$stop_stage" -ge 2 ] || return 0
  settings=$(noise_settings)
  begin_stage 2 "decoding with $decoding_method" "$noise_dir/.done-2-$decoding_method" "$settings" || return 0
  link_experiment
  python "$ROOT/local/decode.py" --exp-dir "$noise_dir" --feature-dir "$features_dir" --splits "$noisy_split,$noisy_splits" \
    --recipe-config "$recipe_config" --decoding-method "$decoding_method"
  end_stage
}

noisy_scoring_stage() {
  local scores=$noise_dir/$decoding_method/scores.txt settings rules=() command
  [ "$stage" -le 3 ] && [ "$stop_stage" -ge 3 ] || return 0
  settings=$(noise_settings)
  begin_stage 3 "error rates" "$noise_dir/.done-3-$decoding_method" "$settings" "$scores" || return 0
  [ ! -f conf/scoring.json ] || rules=(--scoring-rules conf/scoring.json)
  command="egs/$corpus/$(basename "$HERE")/${0##*/} --feature-type $feature_type --recipe $recipe --decoding-method $decoding_method"
  python "$ROOT/local/score.py" --exp-dir "$noise_dir" --decoding-method "$decoding_method" --recipe "$recipe_name$suffix" \
    ${search_name:+--search-name "$search_name"} --results-dir "$results_dir/noise" ${rules[@]+"${rules[@]}"} \
    --run-command "$command --num-talkers $num_talkers --seed $seed --snrs '$snrs' --kinds '$kinds'" >"$scores.partial"
  mv "$scores.partial" "$scores"
  end_stage
}

stability_stage() {
  local settings
  [ "$stage" -le 4 ] && [ "$stop_stage" -ge 4 ] || return 0
  settings=$(noise_settings)
  begin_stage 4 "token stability" "$features_dir/.done-stability-$noisy_split" "$settings" "$stability" || return 0
  python "$ROOT/local/token_stability.py" --feature-dir "$features_dir" --split "$noisy_split" \
    --noisy-splits "$noisy_splits" --output "$stability"
  end_stage
}

noise_page_stage() {
  local published=()
  [ "$stage" -le 5 ] && [ "$stop_stage" -ge 5 ] || return 0
  [ ! -f conf/published.json ] || published=(--published conf/published.json)
  log "Stage 5: tables and chart"
  python "$ROOT/tools/make_results.py" --results-dir "$results_dir" --output "$(dirname "$results_dir")/RESULTS.md" \
    --title "$title" --test-split "$(tr ' ' , <<<"$test_splits")" --dev-split "$(tr ' ' , <<<"$dev_splits")" \
    ${published[@]+"${published[@]}"}
}

noise_stages() { # noise_stages: stages 0 to 5
  require_trained
  know_json "$features_dir/spec.json" "$exp_dir/train.json"
  mix_stage
  noisy_extraction_stage
  noisy_decoding_stage
  noisy_scoring_stage
  stability_stage
  noise_page_stage
  log "Done in $SECONDS s: $results_dir/noise"
}
