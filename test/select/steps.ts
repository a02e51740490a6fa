import type { Answer, Candidate } from '../../lib/select/candidate.js'
import type { Outcome, Step, StepContext, StepKind } from '../../lib/select/step.js'

/** An answer that is complete. */
export const answer = (text: string, more: Partial<Answer> = {}): Answer => ({
  index: 0,
  reasoning: undefined,
  text,
  closed: true,
  finish: undefined,
  labels: {},
  verdict: undefined,
  ...more,
})

/** A row of a source, with answers numbered in their order. */
export const candidate = (row: number, answers: readonly Answer[], more: Partial<Candidate> = {}): Candidate => ({
  source: 'made',
  row,
  file: 'made.jsonl',
  fileRow: row,
  line: row + 1,
  columns: {},
  system: undefined,
  question: `What is ${row} + ${row}?`,
  reference: undefined,
  choices: undefined,
  tests: undefined,
  answers: answers.map((each, index) => ({ ...each, index })),
  ...more,
})

/** What a step makes of rows, given in portions of a length. */
export async function outcomesOf<Options>(
  kind: StepKind<Options>,
  options: Options,
  rows: readonly Candidate[],
  context: Partial<StepContext & { portion: number }> = {},
): Promise<Outcome[]> {
  const { portion = 4, ...rest } = context
  const signal = new AbortController().signal
  const defaults = { seed: 0, place: 0, tokenizer: undefined, threads: 2, signal, resolvePath: (path: string) => path }
  const step = (await kind.open(options, { ...defaults, ...rest })) as Step
  const outcomes: Outcome[] = []
  try {
    for (let i = 0; i < rows.length; i += portion) {
      outcomes.push(...(await step.apply(rows.slice(i, i + portion), signal)))
    }
  } finally {
    await step.close?.()
  }
  return outcomes
}

/** Of each row the reason of its rejection, or the indices of the answers that stay. */
export const inShort = (outcomes: readonly Outcome[]): (string | number[])[] =>
  outcomes.map((outcome) =>
    'kept' in outcome ? outcome.kept.answers.map(({ index }) => index) : outcome.rejected.reason,
  )

export const detailOf = (outcome: Outcome | undefined): string =>
  outcome && 'rejected' in outcome ? outcome.rejected.detail : ''
