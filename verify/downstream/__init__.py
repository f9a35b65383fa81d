"""What the features of a trained network are worth: probes, their baselines, and fine-tuning."""
