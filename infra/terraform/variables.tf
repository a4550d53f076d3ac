# Given by the administrator; the policies must have been generated for the same bucket.
variable "bucket" {
  type        = string
  description = "The bucket of `store` in sites.yaml."

  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$", var.bucket))
    error_message = "bucket: wanted 3 to 63 lower-case letters, digits, dots and hyphens."
  }
}

variable "old_versions_days" {
  type        = number
  default     = 90
  description = "Days for which a version that was replaced or deleted is kept; withdrawn studies are gone for good after them."
}

variable "principals" {
  type        = map(list(string))
  description = "Who may assume each role: ARNs by identity, such as contributor-north, trainer, analyst."
}

variable "subnets" {
  type        = list(string)
  default     = []
  description = "Private subnets of the cluster, in two zones or more; empty: no cluster is made."
}

variable "gpu_instance_types" {
  type        = list(string)
  default     = ["g6.12xlarge", "g5.12xlarge"]
  description = "Several, so that a spot node can be had of one of them; each with as many GPUs as a pod of the overlay asks for."
}

variable "gpu_nodes" {
  type        = number
  default     = 4
  description = "Most GPU nodes at once."
}
