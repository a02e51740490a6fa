import { promptBound } from '../../asking/promptBound.js'
import type { PlannedTeaching, TeachingSummary } from '../../teach/teach.js'
import type { BatchWritten } from '../../teach/writeBatch.js'
import { formatCount, formatCountOf, formatPercent, printable } from '../../text/format.js'
import { formatBytes } from '../../text/formatUnits.js'

/** How much a teaching asks. */
export interface TeachingPlanRecord {
  out: string
  teacher: string
  questions: number
  /** Questions that have a right answer. */
  checked: number
  /** Answers to a question at most. */
  attempts: number
  untilCorrect: number | null
  /** Answers if every question takes as few, and as many, as it may. */
  answers: { least: number; most: number }
  /** An estimate, at four bytes a token, if every question takes as many answers as it may. */
  promptTokens: number
  /** If every answer takes all that it may. */
  highestCompletionTokens: number
  /** By the price, if every answer takes all that it may; null without a price. */
  highestCost: number | null
  notes: readonly string[]
}

const bytesOfToken = 4

export function teachingPlanRecord({ resolved, questions: read }: PlannedTeaching): TeachingPlanRecord {
  const { teacher, quota, sampling, seed, out } = resolved
  const { questions, notes } = read
  const bytes = questions.reduce((sum, question) => sum + promptBound(question.prompt(0, seed)), 0)
  const [least, most] = [questions.length * (quota.untilCorrect ?? quota.attempts), questions.length * quota.attempts]
  const [prompt, completion] = [Math.ceil(bytes / bytesOfToken) * quota.attempts, most * sampling.maxTokens]
  const { price } = teacher
  return {
    out,
    teacher: teacher.place,
    questions: questions.length,
    checked: questions.filter(({ grade }) => grade).length,
    attempts: quota.attempts,
    untilCorrect: quota.untilCorrect ?? null,
    answers: { least, most },
    promptTokens: prompt,
    highestCompletionTokens: completion,
    highestCost: price ? (prompt * price.input + completion * price.output) / 1e6 : null,
    notes,
  }
}

export function teachingPlanText(plan: TeachingPlanRecord): string {
  const { teacher, questions, checked, attempts, untilCorrect, answers, notes } = plan
  const { promptTokens, highestCompletionTokens, highestCost } = plan
  const asked =
    untilCorrect === null
      ? `${formatCountOf(attempts, 'answer')} each`
      : `until ${untilCorrect} of at most ${attempts} answers are accepted`
  const range =
    answers.least === answers.most
      ? formatCount(answers.most)
      : `${formatCount(answers.least)} to ${formatCount(answers.most)}`
  const cost = highestCost === null ? '' : `, ${highestCost.toFixed(2)} at most by your price`
  return [
    `teacher    ${printable(teacher)}`,
    `questions  ${formatCount(questions)}, ${formatCount(checked)} of them with a right answer; ${asked}`,
    `answers    ${range}: prompts of about ${formatCount(promptTokens)} tokens, answers of at most ` +
      `${formatCount(highestCompletionTokens)}${cost}`,
    ...notes.map((note) => `note       ${note}`),
  ].join('\n')
}

/** What became of the answers, and what to do next. */
export function teachingText(summary: TeachingSummary): string {
  const { out, counts, tokens, cost, failed, stopped, batch } = summary
  const { questions, answered, answers, accepted, rejected, truncated, missing } = counts
  const share = answers > 0 ? ` (${formatPercent(accepted / answers)})` : ''
  const lines = [
    ...(batch ? [batchText(batch)] : []),
    `questions  ${formatCount(questions)}, of ${formatCount(answered)} something is kept`,
    `answers    ${formatCount(answers)}`,
    `accepted   ${formatCount(accepted)}${share}`,
    ...Object.entries(rejected).map(([reason, count]) => `rejected   ${formatCount(count)} ${reason}`),
    ...(truncated > 0 ? [`truncated  ${formatCount(truncated)}`] : []),
    `tokens     ${formatCount(tokens.prompt)} of prompts, ${formatCount(tokens.completion)} of answers`,
    ...(cost === null ? [] : [`cost       ${cost.toFixed(2)}`]),
    ...(failed > 0 ? [`failed     ${formatCountOf(failed, 'request')}; they are asked again`] : []),
    ...(missing > 0 ? [`missing    ${formatCountOf(missing, 'answer')}`] : []),
  ]
  const next = stopped ? 'Stopped: --resume asks for what is missing. What' : 'What'
  return `${lines.join('\n')}\n\n${next} was accepted is in ${printable(out)}`
}

function batchText({ lines, answers, known, failures }: NonNullable<TeachingSummary['batch']>): string {
  const failed = Object.entries(failures).map(
    ([reason, count]) => `\nbatch      ${formatCount(count)} failed: ${printable(reason)}`,
  )
  const again = known > 0 ? `, ${formatCount(known)} of them known before` : ''
  return `batch      ${formatCount(lines)} lines, ${formatCountOf(answers, 'new answer')}${again}${failed.join('')}`
}

export function batchWrittenText({ files, requests, held, highest }: BatchWritten): string {
  if (requests === 0 && held === 0) return 'No answer is missing: there is nothing to ask'
  const cost = highest.cost === null ? '' : `, ${highest.cost.toFixed(2)} at most by your price`
  return [
    ...files.map(
      ({ path, requests: count, bytes }) =>
        `${printable(path)}  ${formatCountOf(count, 'request')}  ${formatBytes(bytes)}`,
    ),
    `${formatCountOf(requests, 'request')}, answers of at most ${formatCount(highest.completion)} tokens${cost}`,
    ...(held > 0 ? [`${formatCountOf(held, 'answer')} more may pass a limit and were not written`] : []),
    'When the batch API is done: the same command with --read-batch FILES instead of --write-batch',
  ].join('\n')
}
