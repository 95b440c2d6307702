"""The cloud AKS: a claim's node is an agent pool of one machine, named after the claim."""
