"""What predictors and evaluations share: the device, batches of images, features, prompts and the cache."""
