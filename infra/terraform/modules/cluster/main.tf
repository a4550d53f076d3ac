# The shape of a cluster: a small group that is always there for heads, and GPU spot nodes that start from zero.
variable "name" {
  type = string
}

variable "subnets" {
  type = list(string)
}

variable "gpu_instance_types" {
  type = list(string)
}

variable "gpu_nodes" {
  type = number
}

locals {
  node_policies = ["AmazonEKSWorkerNodePolicy", "AmazonEKS_CNI_Policy", "AmazonEC2ContainerRegistryReadOnly"]
}

resource "aws_iam_role" "cluster" {
  name = "${var.name}-cluster"
  assume_role_policy = jsonencode({
    Version   = "2012-10-17"
    Statement = [{ Effect = "Allow", Action = "sts:AssumeRole", Principal = { Service = "eks.amazonaws.com" } }]
  })
}

resource "aws_iam_role_policy_attachment" "cluster" {
  role       = aws_iam_role.cluster.name
  policy_arn = "arn:aws:iam::aws:policy/AmazonEKSClusterPolicy"
}

resource "aws_iam_role" "node" {
  name = "${var.name}-node"
  assume_role_policy = jsonencode({
    Version   = "2012-10-17"
    Statement = [{ Effect = "Allow", Action = "sts:AssumeRole", Principal = { Service = "ec2.amazonaws.com" } }]
  })
}

resource "aws_iam_role_policy_attachment" "node" {
  for_each   = toset(local.node_policies)
  role       = aws_iam_role.node.name
  policy_arn = "arn:aws:iam::aws:policy/${each.key}"
}

resource "aws_eks_cluster" "this" {
  name       = var.name
  role_arn   = aws_iam_role.cluster.arn
  depends_on = [aws_iam_role_policy_attachment.cluster]
  vpc_config {
    subnet_ids              = var.subnets
    endpoint_private_access = true
    endpoint_public_access  = false
  }
}

resource "aws_eks_node_group" "heads" {
  cluster_name    = aws_eks_cluster.this.name
  node_group_name = "heads"
  node_role_arn   = aws_iam_role.node.arn
  subnet_ids      = var.subnets
  instance_types  = ["m7i.2xlarge"]
  depends_on      = [aws_iam_role_policy_attachment.node]
  scaling_config {
    desired_size = 1
    min_size     = 1
    max_size     = 3
  }
}

resource "aws_eks_node_group" "gpus" {
  cluster_name    = aws_eks_cluster.this.name
  node_group_name = "gpus-spot"
  node_role_arn   = aws_iam_role.node.arn
  subnet_ids      = var.subnets
  instance_types  = var.gpu_instance_types
  ami_type        = "AL2023_x86_64_NVIDIA"
  capacity_type   = "SPOT"
  disk_size       = 200
  labels          = { "lesionlab.org/spot" = "true" }
  depends_on      = [aws_iam_role_policy_attachment.node]
  taint {
    key    = "lesionlab.org/spot"
    value  = "true"
    effect = "NO_SCHEDULE"
  }
  taint {
    key    = "nvidia.com/gpu"
    value  = "present"
    effect = "NO_SCHEDULE"
  }
  scaling_config {
    desired_size = 0
    min_size     = 0
    max_size     = var.gpu_nodes
  }
  lifecycle {
    ignore_changes = [scaling_config[0].desired_size] # the node autoscaler's
  }
}
