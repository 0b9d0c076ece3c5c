"""Records: how good the average is beside the field's other methods, everyone at the same number of gradients."""
