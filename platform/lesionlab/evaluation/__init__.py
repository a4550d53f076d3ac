"""A trained network and studies with a reference in; native-space predictions, study rows and lesion rows out."""
