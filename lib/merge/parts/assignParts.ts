/**
 * Deals output files to `parts` tasks so that the largest share of bytes is small: the largest file first, each to the task
 * that has least (at most 4/3 of the best possible, Graham 1969). The same sizes give the same parts, on any machine.
 *
 * @returns for each part the places of its files in `bytes`, ascending; empty where there are fewer files than parts.
 */
export function assignParts(bytes: readonly number[], parts: number): number[][] {
  const shares = Array.from({ length: parts }, () => ({ files: [] as number[], bytes: 0 }))
  const largestFirst = [...bytes.entries()].sort(([i, a], [j, b]) => b - a || i - j)
  for (const [file, size] of largestFirst) {
    const least = shares.reduce((best, share) => (share.bytes < best.bytes ? share : best))
    least.files.push(file)
    least.bytes += size
  }
  return shares.map(({ files }) => files.sort((a, b) => a - b))
}
