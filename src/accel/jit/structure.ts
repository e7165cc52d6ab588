/**
 * From a control-flow graph to WebAssembly's nested blocks and loops.
 *
 * After Norman Ramsey, "Beyond Relooper: Recursive Translation of Unstructured
 * Control Flow to Structured Control Flow" (ICFP 2022): the dominator tree
 * gives the nesting; a node with several forward edges in gets a block around
 * what comes before it, a node with an edge back gets a loop. An edge into the
 * middle of a cycle (irreducible) is reported, and its source leaves the region.
 */
export interface Shape {
  /** Position in reverse postorder; -1 when not reachable. */
  readonly order: readonly number[];
  /** Nodes in reverse postorder. */
  readonly sequence: readonly number[];
  /** Dominator-tree children that need a block, the last in order first. */
  readonly merges: readonly (readonly number[])[];
  readonly isLoop: readonly boolean[];
  readonly isMerge: readonly boolean[];
  /** Whether the edge goes into a cycle beside its head. */
  irreducible(from: number, to: number): boolean;
}

export function shape(successors: readonly (readonly number[])[]): Shape {
  const count = successors.length;
  const order: number[] = new Array(count).fill(-1);
  const sequence = reversePostorder(successors);
  sequence.forEach((node, n) => {
    order[node] = n;
  });
  const predecessors: number[][] = Array.from({ length: count }, () => []);
  for (const node of sequence) for (const to of successors[node]) predecessors[to].push(node);
  const idom = dominators(sequence, order, predecessors);
  const dominates = (a: number, b: number): boolean => {
    let node = b;
    while (order[node] > order[a]) node = idom[node];
    return node === a;
  };
  const irreducible = (from: number, to: number) => order[to] <= order[from] && !dominates(to, from);
  const isLoop: boolean[] = new Array(count).fill(false);
  const isMerge: boolean[] = new Array(count).fill(false);
  const children: number[][] = Array.from({ length: count }, () => []);
  for (const node of sequence) {
    let forward = 0;
    for (const from of predecessors[node]) {
      if (order[node] <= order[from]) {
        if (dominates(node, from)) isLoop[node] = true;
      } else forward++;
    }
    isMerge[node] = forward > 1;
    if (node !== sequence[0]) children[idom[node]].push(node);
  }
  const merges = children.map((list) => list.filter((node) => isMerge[node]).sort((a, b) => order[b] - order[a]));
  return { order, sequence, merges, isLoop, isMerge, irreducible };
}

function reversePostorder(successors: readonly (readonly number[])[]): number[] {
  const seen = new Set<number>([0]);
  const post: number[] = [];
  const stack: { node: number; next: number }[] = [{ node: 0, next: 0 }];
  while (stack.length > 0) {
    const top = stack[stack.length - 1];
    if (top.next < successors[top.node].length) {
      const to = successors[top.node][top.next++];
      if (!seen.has(to)) {
        seen.add(to);
        stack.push({ node: to, next: 0 });
      }
    } else {
      post.push(top.node);
      stack.pop();
    }
  }
  return post.reverse();
}

/** Immediate dominators. (Cooper, Harvey, Kennedy, "A Simple, Fast Dominance Algorithm", 2001.) */
function dominators(
  sequence: readonly number[],
  order: readonly number[],
  predecessors: readonly (readonly number[])[],
): number[] {
  const idom: number[] = new Array(order.length).fill(-1);
  idom[sequence[0]] = sequence[0];
  const meet = (a: number, b: number): number => {
    while (a !== b) {
      while (order[a] > order[b]) a = idom[a];
      while (order[b] > order[a]) b = idom[b];
    }
    return a;
  };
  for (let again = true; again; ) {
    again = false;
    for (const node of sequence.slice(1)) {
      let best = -1;
      for (const from of predecessors[node]) {
        if (idom[from] === -1) continue;
        best = best === -1 ? from : meet(best, from);
      }
      if (idom[node] !== best) {
        idom[node] = best;
        again = true;
      }
    }
  }
  return idom;
}
