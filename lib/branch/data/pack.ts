/**
 * Which documents share a pack of at most `capacity` tokens: LLaMA-Factory's greedy knapsack. A pack takes the longest
 * document that fits what is left of it, the later one of two as long, until none fits; then the next one begins.
 *
 * @param lengths - of documents, each at most `capacity`
 * @returns positions in `lengths`, each exactly once
 */
export function packGreedily(lengths: readonly number[], capacity: number): number[][] {
  const ascending = lengths.map((length, index) => ({ length, index }))
  ascending.sort((a, b) => a.length - b.length || a.index - b.index)
  const packs: number[][] = []
  while (ascending.length > 0) {
    const pack: number[] = []
    let left = capacity
    for (let i = countUpTo(ascending, left); i > 0; i = countUpTo(ascending, left)) {
      const [{ length, index }] = ascending.splice(i - 1, 1) as [{ length: number; index: number }]
      left -= length
      pack.push(index)
    }
    packs.push(pack)
  }
  return packs
}

/** How many of the sorted lengths are at most `limit`. */
function countUpTo(ascending: readonly { length: number }[], limit: number): number {
  let [low, high] = [0, ascending.length]
  while (low < high) {
    const middle = (low + high) >> 1
    if ((ascending[middle] as { length: number }).length <= limit) low = middle + 1
    else high = middle
  }
  return low
}
