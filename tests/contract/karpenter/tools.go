//go:build tools

// Package tools pins what the contract is read from: the manifests of a released Karpenter.
package tools

import _ "sigs.k8s.io/karpenter/pkg/apis"
