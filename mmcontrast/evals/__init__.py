"""Evaluations of encoders and methods. Each returns numbers; it draws nothing and reads no command line."""
