"""Azure's resource manager for the agent pools of one AKS cluster, where there is no Azure.

A stand-in that speaks the real protocol, as the real SDK sees it: errors, etags, operations that take time. Behind its
pools there are no machines; their Nodes are objects that say so.
"""
