export interface TurnLengths {
  source: number
  target: number
}

/** A text whose tokens are counted as far as they are asked for. */
export interface Countable {
  /** Counts until there are so many or all, and returns the number. */
  upTo(count: number): number
}

/**
 * How many tokens of a prompt and an answer stay within `cutoff`, as LLaMA-Factory's infer_seqlen shares it out: a side
 * that needs less than half gets what it needs, two long sides share in proportion. The beginnings are kept.
 */
export function fitTurn({ source, target }: TurnLengths, cutoff: number): TurnLengths {
  const most =
    target * 2 < cutoff
      ? cutoff
      : source * 2 < cutoff
        ? cutoff - source
        : Math.floor(cutoff * (target / (source + target)))
  const kept = Math.min(most, target)
  return { source: Math.min(Math.max(cutoff - kept, 0), source), target: kept }
}

/**
 * The lengths of the turns of a conversation that fit into `cutoff`, each in what the ones before it leave. Turns that
 * nothing is left for are gone, and not counted. `lastFirst`: the last turn is the one that counts, so it is served first.
 */
export function fitTurns(
  turns: readonly { source: Countable; target: Countable }[],
  cutoff: number,
  lastFirst: boolean,
): TurnLengths[] {
  const kept: TurnLengths[] = []
  let total = 0
  for (const turn of lastFirst ? turns.toReversed() : turns) {
    if (total >= cutoff) break
    const fitted = fitTurn(lengthsOf(turn, cutoff - total), cutoff - total)
    total += fitted.source + fitted.target
    kept.push(fitted)
  }
  return lastFirst ? kept.reverse() : kept
}

/** Of a side that is longer than `room` it only matters that it is, but for the proportion of two long ones. */
function lengthsOf({ source, target }: { source: Countable; target: Countable }, room: number): TurnLengths {
  const lengths = { source: source.upTo(room + 1), target: target.upTo(room + 1) }
  if (lengths.source * 2 < room || lengths.target * 2 < room) return lengths
  return { source: source.upTo(Number.POSITIVE_INFINITY), target: target.upTo(Number.POSITIVE_INFINITY) }
}
