module kaito.sh/contract/karpenter

go 1.25

require sigs.k8s.io/karpenter v1.8.0
