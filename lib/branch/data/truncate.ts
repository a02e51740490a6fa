export interface TurnLengths {
  source: number
  target: number
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
 * nothing is left for are gone. `lastFirst`: the last turn is the one that counts, so it is served first.
 */
export function fitTurns(turns: readonly TurnLengths[], cutoff: number, lastFirst: boolean): TurnLengths[] {
  const kept: TurnLengths[] = []
  let total = 0
  for (const turn of lastFirst ? turns.toReversed() : turns) {
    if (total >= cutoff) break
    const fitted = fitTurn(turn, cutoff - total)
    total += fitted.source + fitted.target
    kept.push(fitted)
  }
  return lastFirst ? kept.reverse() : kept
}
