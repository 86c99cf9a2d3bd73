# What noise does to a trained experiment: noisy versions of a test set, their codes, decoding without another training,
# error rates and token stability. To be sourced by egs/<corpus>/<TASK>/run_noise.sh behind its options, then called as
# `noise_stages`.
#
# run_noise.sh has set HERE, ROOT, all options of noise_options.sh, and what recipe.sh wants to know about the corpus. The
# stages are planned in icefall_discrete/experiment/stages/noise.py.

. "$ROOT/tools/recipe.sh"

noise_stages() { # noise_stages: stages 0 to 5
  follow_plan noise
  log "Done in $SECONDS s: $results_dir/noise"
}
