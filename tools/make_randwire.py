"""Prints the random graphs of `newnet_tf/applications/randwire.py`, from their seeds.

    python tools/make_randwire.py

Needs networkx 3 (scikit-image brings it).
"""

import textwrap

import networkx

NODES, NEIGHBORS, REWIRED = 32, 4, 0.75
SEEDS = {3: 0, 4: 1, 5: 2}


def sources(seed):
    """Every node's sources; edges lead from the lower number to the higher."""
    graph = networkx.connected_watts_strogatz_graph(NODES, NEIGHBORS, REWIRED, seed=seed)
    return [sorted(other for other in graph[node] if other < node) for node in range(NODES)]


def main():
    print("GRAPHS = {")
    for stage, seed in SEEDS.items():
        words = " ".join(",".join(map(str, node_sources)) or "-" for node_sources in sources(seed))
        lines = textwrap.wrap(words, 90)
        print(f"    {stage}: (  # seed {seed}")
        for line in lines[:-1]:
            print(f'        "{line} "')
        print(f'        "{lines[-1]}"\n    ),')
    print("}")


if __name__ == "__main__":
    main()
