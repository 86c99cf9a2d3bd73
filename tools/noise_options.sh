# The options of a recipe's run_noise.sh, which measures a trained experiment under noise. To be sourced before
# parse_options.sh by a script that has set HERE (its folder); options of training keep the values of recipe_options.sh.

. "$ROOT/tools/recipe_options.sh"
unset FURTHER_FLAGS # its stages take no further flags
LAST_STAGE=5

stage=0                                # first stage to run
stop_stage=$LAST_STAGE                 # last stage to run
feature_type=                          # of the experiment, as for run.sh
recipe=default                         # of the experiment, as for run.sh
dry_run=false                          # print what each stage would do, and do nothing
exp_dir=                               # trained experiment (default: exp/<feature type>_<recipe>)
data_dir=$HERE/data                     # prepared data, the features of the experiment among them
results_dir=$HERE/results               # results; those of noise go to its folder noise
env=auto                               # environment: k2, portable, or auto
nj=2                                   # threads that mix audio, processes that extract codes
decoding_method=                       # a search that needs neither graphs nor a language model
noisy_split=                           # split to add noise to (default: the first test split)
snrs="20 10 5 0"                       # signal-to-noise ratios (dB)
kinds="babble white pink"              # noises: babble, white, pink, brown; with --noise-cuts recorded, or music, noise, speech
noise_cuts=                            # manifest of cuts of recorded noise, such as musan_cuts.jsonl.gz
num_talkers=6                          # utterances that speak at once in babble
seed=42                                # of the noise
