import type { Candidate } from '../candidate.js'
import type { Draw, Outcome, Rejection, Step } from '../step.js'
import type { FunnelCount } from './funnelCount.js'
import { Spill } from './spill.js'

/** A step that is open, and what it has done. */
export interface RunningStep {
  step: Step | Draw
  count: FunnelCount
}

export type Refuse = (candidate: Candidate, step: string, rejection: Rejection) => Promise<void>

interface Running {
  /** A path in the directory whose disk may be used. */
  beside: string
  signal: AbortSignal
  refuse: Refuse
}

/** Candidates in portions that only the rows decide, however they were read. */
export async function* portionsOf(candidates: AsyncIterable<Candidate>): AsyncGenerator<Candidate[]> {
  let portion: Candidate[] = []
  let characters = 0
  for await (const candidate of candidates) {
    portion.push(candidate)
    characters += candidate.question.length
    for (const { reasoning = '', text } of candidate.answers) characters += reasoning.length + text.length
    if (portion.length < portionRows && characters < portionCharacters) continue
    yield portion
    portion = []
    characters = 0
  }
  if (portion.length > 0) yield portion
}

const [portionRows, portionCharacters] = [500, 2 ** 23]

/** What passes all steps, in its order. A step that must see all rows first has them wait on the disk. */
export async function* runSteps(
  candidates: AsyncIterable<Candidate>,
  steps: readonly RunningStep[],
  running: Running,
): AsyncGenerator<Candidate> {
  const drawAt = steps.findIndex(({ step }) => 'decide' in step)
  const before = steps.slice(0, drawAt < 0 ? steps.length : drawAt)
  const passed = runPlainSteps(candidates, before, running)
  if (drawAt < 0) {
    yield* passed
    return
  }
  const { step, count } = steps[drawAt] as RunningStep
  yield* runSteps(draw(passed, step as Draw, count, running), steps.slice(drawAt + 1), running)
}

async function* runPlainSteps(
  candidates: AsyncIterable<Candidate>,
  steps: readonly RunningStep[],
  { signal, refuse }: Running,
): AsyncGenerator<Candidate> {
  for await (const portion of portionsOf(candidates)) {
    const refusals: (Parameters<Refuse> | undefined)[] = portion.map(() => undefined)
    let left = portion.map((candidate, index) => ({ candidate, index }))
    for (const { step, count } of steps) {
      signal.throwIfAborted()
      const started = performance.now()
      const given = left.map(({ candidate }) => candidate)
      const outcomes = left.length > 0 ? await (step as Step).apply(given, signal) : []
      count.seconds += (performance.now() - started) / 1000
      left = left.flatMap(({ candidate, index }, i) => {
        const outcome = outcomes[i] as Outcome
        count.came(candidate)
        if ('kept' in outcome) {
          count.stayed(outcome.kept.answers.length)
          return [{ candidate: outcome.kept, index }]
        }
        count.refused(outcome.rejected.reason)
        refusals[index] = [candidate, count.name, outcome.rejected]
        return []
      })
    }
    signal.throwIfAborted()
    // In the order of the rows, whichever step refused them.
    for (const refusal of refusals) if (refusal) await refuse(...refusal)
    for (const { candidate } of left) yield candidate
  }
}

async function* draw(
  candidates: AsyncIterable<Candidate>,
  step: Draw,
  count: FunnelCount,
  { beside, signal, refuse }: Running,
): AsyncGenerator<Candidate> {
  const spill = await Spill.create<Candidate>(beside)
  try {
    for await (const candidate of candidates) {
      const started = performance.now()
      step.add(candidate)
      await spill.add(candidate)
      count.seconds += (performance.now() - started) / 1000
    }
    const started = performance.now()
    const decisions = step.decide()
    count.seconds += (performance.now() - started) / 1000
    let i = 0
    for await (const candidate of spill.all()) {
      signal.throwIfAborted()
      const rejection = decisions[i++]
      count.came(candidate)
      if (!rejection) {
        count.stayed(candidate.answers.length)
        yield candidate
        continue
      }
      count.refused(rejection.reason)
      await refuse(candidate, count.name, rejection)
    }
  } finally {
    await spill.close()
  }
}
