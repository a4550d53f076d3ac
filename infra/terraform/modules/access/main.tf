# One role for each policy that `lesionlab storage policies` wrote, with exactly that policy.
variable "prefix" {
  type = string
}

variable "policies" {
  type        = string
  description = "Folder of the generated policies, NAME.json."
}

variable "principals" {
  type        = map(list(string))
  description = "ARNs that may assume each role; an identity without any gets no role."
}

locals {
  identities = { for file in fileset(var.policies, "*.json") : trimsuffix(file, ".json") => "${var.policies}/${file}" }
  used       = { for name, file in local.identities : name => file if length(lookup(var.principals, name, [])) > 0 }
}

resource "aws_iam_role" "identity" {
  for_each             = local.used
  name                 = "${var.prefix}-${each.key}"
  max_session_duration = 43200
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRole"
      Principal = { AWS = var.principals[each.key] }
    }]
  })
}

resource "aws_iam_role_policy" "identity" {
  for_each = local.used
  name     = "store"
  role     = aws_iam_role.identity[each.key].id
  policy   = file(each.value)
}

output "roles" {
  value = { for name, role in aws_iam_role.identity : name => role.arn }
}

output "unknown" {
  description = "Principals of identities for which no policy was generated."
  value       = setsubtract(keys(var.principals), keys(local.identities))
}
