"""Losses as pure functions of tensors: fp32 inside, no state, no rank, no configuration."""
