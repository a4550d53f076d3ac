"""Kubernetes: the resources of a consortium, the jobs that run submissions, and what the cluster says about them."""
