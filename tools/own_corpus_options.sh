# The options of recipes of own corpora, as tools/new_corpus.sh makes them, beside those of recipe_options.sh. To be sourced
# before parse_options.sh. What these mean is said in icefall_discrete/data/own_corpora.

language=                              # code of the language, of utterances of which the source says none: en, cs, zh-TW, ...
source_format=auto                     # folder, table, kaldi, lhotse_manifests, huggingface, or auto: the one that suits the source
columns=                               # columns of a table with other names than usual: audio=NAME,text=NAME,speaker=NAME,...
text_rule=words                        # words: lower case without punctuation; written: case and punctuation kept
numbers=drop                           # texts with digits: drop the utterance, spell them, or keep them
tags=drop                              # texts with <tags>, [tags], {tags}: drop the utterance, remove the tags, or keep them
split_by=auto                          # given (as the source says), speaker, text, or auto: the first of these that can be
sample_rate=16000                      # rate that audio is resampled to as it is read: that of the tokenizer (Hz)
shortest=0.3                           # shortest utterance (s)
longest=30.0                           # longest utterance of training (s); dev and test keep all
exclude=                               # file with the ids of utterances to leave out, each the first word of a line
