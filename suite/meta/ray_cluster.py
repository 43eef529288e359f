"""A Ray cluster of several nodes on loopback, for tests: `python ray_cluster.py FOLDER...`, one node for each folder.

Node 0 is the head. Each folder goes before PATH on its node, each node has one CPU. Prints the cluster's address, then
does what it is told on standard input: `kill N` ends node N at once; the end of input ends the cluster. With
`FOLDER=KIND` the node also has a GPU of that kind, as far as Ray knows.
"""

import os
import sys

os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"  # binds to loopback and nothing else

from ray.cluster_utils import Cluster

HERE = {"node_ip_address": "127.0.0.1", "object_store_memory": 80 * 2**20}


def main() -> None:
    """Be the cluster."""
    path = os.environ["PATH"]
    cluster, nodes = Cluster(), []
    try:
        for argument in sys.argv[1:]:
            folder, _, kind = argument.partition("=")
            os.environ["PATH"] = f"{folder}{os.pathsep}{path}"
            gpu = {"num_gpus": 1, "resources": {f"accelerator_type:{kind}": 1}} if kind else {}
            head = {} if nodes else {"include_dashboard": False}
            nodes.append(cluster.add_node(num_cpus=1, **HERE, **gpu, **head))
    except Exception as error:  # on a busy machine: Ray gives a node 30 s to start
        print(f"no cluster: {error}", flush=True)
        cluster.shutdown()
        os._exit(1)
    print(cluster.address, flush=True)
    for line in sys.stdin:
        cluster.remove_node(nodes[int(line.split()[1])], allow_graceful=False)
        print("killed", flush=True)
    cluster.shutdown()
    os._exit(0)


if __name__ == "__main__":
    main()
