"""Files and tables that a decoding leaves behind: recogs, errs, wer-summary, result.json, RESULTS.md, charts."""
