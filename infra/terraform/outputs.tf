# For the overlays: the roles' ARNs go to the site's service account or to its people.
output "bucket" {
  value = module.storage.bucket
}

output "roles" {
  value = module.access.roles

  precondition {
    condition     = length(module.access.unknown) == 0
    error_message = "principals: no policy was generated for ${join(", ", module.access.unknown)}."
  }
}
