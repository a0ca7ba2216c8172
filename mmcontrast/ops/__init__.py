"""Tensor operations that losses, encoders and methods share; nothing here knows a method or a file."""
