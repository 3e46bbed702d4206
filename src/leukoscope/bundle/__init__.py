"""What a trained model is on disk: format, write, read and verify, model card."""
