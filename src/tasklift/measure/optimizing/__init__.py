"""Better prompts by measurement: variants are judged on rows cut from the training rows, the test rows come last."""
