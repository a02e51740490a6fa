/**
 * Byte-pair encoding as Sennrich, Haddow and Birch define it, counting everything again for every merge: an independent
 * reference. Pieces are lists of tokens written in the byte-level alphabet; ties go to the token that was there first.
 */
export function slowMerges(pieces: ReadonlyMap<string, number>, alphabet: string[], wanted: number): string[] {
  const rank = new Map(alphabet.map((token, i) => [token, i]))
  let words = [...pieces].map(([text, count]) => ({ tokens: Array.from(text), count }))
  const merges: string[] = []
  while (merges.length < wanted) {
    const counts = new Map<string, number>()
    for (const { tokens, count } of words) {
      for (const [i, token] of tokens.slice(0, -1).entries()) {
        const pair = `${token} ${tokens[i + 1]}`
        counts.set(pair, (counts.get(pair) ?? 0) + count)
      }
    }
    const ranks = (pair: string) => pair.split(' ').map((token) => rank.get(token) as number) as [number, number]
    const ordered = [...counts].sort(([a, m], [b, n]) => {
      const [[a0, a1], [b0, b1]] = [ranks(a), ranks(b)]
      return n - m || a0 - b0 || a1 - b1
    })
    const [best, count] = ordered[0] ?? ['', 0]
    if (count < 2) break
    merges.push(best)
    rank.set(best.replace(' ', ''), rank.size)
    const [left, right] = best.split(' ') as [string, string]
    words = words.map((word) => ({ ...word, tokens: joined(word.tokens, left, right) }))
  }
  return merges
}

function joined(tokens: string[], left: string, right: string): string[] {
  const [first, second, ...rest] = tokens
  if (first === undefined) return []
  if (first === left && second === right) return [left + right, ...joined(rest, left, right)]
  return [first, ...joined(tokens.slice(1), left, right)]
}
