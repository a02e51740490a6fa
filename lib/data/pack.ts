/**
 * Which documents share a pack of at most `capacity` tokens: LLaMA-Factory's greedy knapsack. A pack takes the longest
 * document that fits what is left of it, the later one of two as long, until none fits; then the next one begins.
 *
 * @param lengths - of documents, each at most `capacity`
 * @returns positions in `lengths`, each exactly once
 */
export function packGreedily(lengths: readonly number[], capacity: number): number[][] {
  const byLength = positionsByLength(lengths)
  const ascending = [...byLength.keys()].sort((a, b) => a - b)
  const packs: number[][] = []
  while (ascending.length > 0) {
    const pack: number[] = []
    let left = capacity
    for (let i = countUpTo(ascending, left); i > 0; i = countUpTo(ascending, left)) {
      const length = ascending[i - 1] as number
      const positions = byLength.get(length) as number[]
      pack.push(positions.pop() as number)
      left -= length
      if (positions.length === 0) ascending.splice(i - 1, 1)
    }
    packs.push(pack)
  }
  return packs
}

function positionsByLength(lengths: readonly number[]): Map<number, number[]> {
  const byLength = new Map<number, number[]>()
  for (const [position, length] of lengths.entries()) {
    const positions = byLength.get(length)
    if (positions) positions.push(position)
    else byLength.set(length, [position])
  }
  return byLength
}

/** How many of the sorted lengths are at most `limit`. */
function countUpTo(ascending: readonly number[], limit: number): number {
  let [low, high] = [0, ascending.length]
  while (low < high) {
    const middle = (low + high) >> 1
    if ((ascending[middle] as number) <= limit) low = middle + 1
    else high = middle
  }
  return low
}
