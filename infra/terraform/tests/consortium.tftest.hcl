# Run by `terraform test`, with a mocked provider: nothing is made.
mock_provider "aws" {}

variables {
  bucket     = "consortium"
  principals = { contributor-north = ["arn:aws:iam::111111111111:root"], trainer = ["arn:aws:iam::222222222222:root"] }
}

run "each_identity_that_somebody_may_assume_has_its_generated_policy" {
  command = plan
  assert {
    condition     = toset(keys(module.access.roles)) == toset(["contributor-north", "trainer"])
    error_message = "wanted a role for each of the principals, and no other"
  }
}

run "an_unknown_identity_is_refused" {
  command = plan
  variables {
    principals = { contributor-nowhere = ["arn:aws:iam::111111111111:root"], trainer = ["arn:aws:iam::222222222222:root"] }
  }
  expect_failures = [output.roles]
}

run "a_bucket_that_cannot_exist_is_refused" {
  command = plan
  variables {
    bucket = "Consortium_"
  }
  expect_failures = [var.bucket]
}

run "without_subnets_no_cluster_is_made" {
  command = plan
  assert {
    condition     = length(module.cluster) == 0
    error_message = "wanted no cluster"
  }
}

run "with_subnets_a_cluster_is_planned" {
  command = plan
  variables {
    subnets = ["subnet-a", "subnet-b"]
  }
  assert {
    condition     = length(module.cluster) == 1
    error_message = "wanted one cluster"
  }
}
