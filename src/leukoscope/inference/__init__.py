"""From images to the prediction table, without a training framework."""
