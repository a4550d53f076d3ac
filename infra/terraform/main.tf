# Applied once by the administrator of a consortium's AWS account: bucket, roles, and a cluster if its subnets are given.
module "storage" {
  source            = "./modules/storage"
  bucket            = var.bucket
  old_versions_days = var.old_versions_days
}

module "access" {
  source     = "./modules/access"
  prefix     = var.bucket
  policies   = abspath("${path.module}/../storage/aws")
  principals = var.principals
}

module "cluster" {
  source             = "./modules/cluster"
  count              = length(var.subnets) > 0 ? 1 : 0
  name               = var.bucket
  subnets            = var.subnets
  gpu_instance_types = var.gpu_instance_types
  gpu_nodes          = var.gpu_nodes
}
