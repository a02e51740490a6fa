import type { Candidate } from '../candidate.js'
import { cellOf } from '../cell.js'
import type { Outcome, StepKind } from '../step.js'

/** How a conversation is written. */
export interface FormOptions {
  /** System text of every row; null takes away the row's own. Default: the row's own. */
  system?: string | null
  /**
   * The prompt, with `{question}`, and `{choices}` or `{COLUMN}` where they are wanted. Default: the question.
   */
  prompt?: string
  /** Whether answers have their reasoning, in `<think>` and `</think>`. Default: keep. */
  reasoning?: 'keep' | 'drop'
}

const placeholder = /\{([\p{L}_][\p{L}\p{N}_.-]*)\}/gu
const letters = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ'

const namesIn = (prompt: string): string[] => [...prompt.matchAll(placeholder)].map(([, name]) => name as string)

/** Sets the system text and the prompt of each row. */
export const form: StepKind<FormOptions> = {
  columns: ({ prompt = '' }) => namesIn(prompt).filter((name) => name !== 'question' && name !== 'choices'),
  check({ prompt }, problems, path) {
    if (prompt === undefined || namesIn(prompt).includes('question')) return
    problems.add([...path, 'prompt'], 'Expected {question} in the prompt: without it every row asks the same')
  },
  describe({ system, prompt, reasoning }) {
    const parts = [
      system === undefined ? '' : system === null ? 'no system text' : 'system text',
      prompt === undefined ? '' : 'prompt',
      reasoning === 'drop' ? 'no reasoning' : '',
    ]
    return parts.filter((part) => part !== '').join(', ')
  },
  open: (options) => ({ apply: (portion) => portion.map((candidate) => formed(candidate, options)) }),
}

function formed(candidate: Candidate, { system, prompt, reasoning = 'keep' }: FormOptions): Outcome {
  const missing =
    prompt === undefined ? undefined : namesIn(prompt).find((name) => textOf(candidate, name) === undefined)
  if (missing !== undefined)
    return { rejected: { reason: 'missing-field', detail: `there is no text for {${missing}}` } }
  const question = prompt?.replace(placeholder, (_, name) => textOf(candidate, name) as string) ?? candidate.question
  const answers =
    reasoning === 'keep' ? candidate.answers : candidate.answers.map((answer) => ({ ...answer, reasoning: undefined }))
  const kept = {
    ...candidate,
    question,
    answers,
    system: system === undefined ? candidate.system : (system ?? undefined),
  }
  return { kept }
}

function textOf(candidate: Candidate, name: string): string | undefined {
  if (name === 'question') return candidate.question
  if (name === 'choices') {
    return candidate.choices?.map((choice, i) => `${letters[i] ?? i + 1}) ${choice}`).join('\n')
  }
  const value = cellOf(candidate.columns, name)
  if (typeof value === 'number' || typeof value === 'bigint') return String(value)
  return typeof value === 'string' ? value : undefined
}
