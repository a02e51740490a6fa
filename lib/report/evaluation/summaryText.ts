import type { Comparison } from '../../evaluate/compare.js'
import type { EvaluationSummary } from '../../evaluate/evaluate.js'
import type { RegradeSummary } from '../../evaluate/regrade.js'
import { formatCount, formatCountOf, printable } from '../../text/format.js'
import { evaluationText } from './tableText.js'

/** What an evaluation found, and what to do next. */
export function summaryText(summary: EvaluationSummary): string {
  const { out, stored, answered, failed, stopped, tokens, cost, results } = summary
  const lines = [
    `answers  ${formatCount(stored + answered)}${stored > 0 ? `, ${formatCount(stored)} of them stored before` : ''}`,
    `tokens   ${formatCount(tokens.prompt)} of prompts, ${formatCount(tokens.completion)} of answers`,
  ]
  if (cost !== null) lines.push(`cost     ${cost.toFixed(2)}`)
  if (failed > 0) lines.push(`failed   ${formatCountOf(failed, 'request')}; --resume asks again`)
  const next = stopped
    ? `Stopped: --resume asks for what is missing. What came is in ${printable(out)}`
    : `Answers and grades are in ${printable(out)}; branchmerge compare ${printable(out)} --baseline NAME compares models`
  // Who was merged from whom, `compare` is told.
  return `${evaluationText({ ...results, experts: null })}\n${lines.join('\n')}\n\n${next}`
}

export function regradeText({ graded, changed, changes }: RegradeSummary, directory: string): string {
  const lines = Object.entries(changes).flatMap(([benchmark, of]) =>
    Object.entries(of).map(
      ([change, count]) => `  ${printable(benchmark)}: ${formatCountOf(count, 'answer')} ${change}`,
    ),
  )
  const head = `Graded ${formatCountOf(graded, 'answer')} of ${printable(directory)} again; ${formatCount(changed)} changed`
  return [head, ...lines].join('\n')
}

export function comparisonText({ results, missing, outdated, damaged }: Comparison, files: readonly string[]): string {
  const notes = missing.map(
    ({ model, benchmark, answers }) =>
      `Note: ${formatCountOf(answers, 'answer')} of ${printable(model)} on ${printable(benchmark)} did not come and are left out`,
  )
  if (outdated > 0) notes.push(`Note: ${formatCountOf(outdated, 'answer')} asked in another way before are left out`)
  if (damaged > 0) notes.push(`Note: ${formatCountOf(damaged, 'damaged line')} of grades.jsonl are left out`)
  const written = files.map((file) => `  ${printable(file)}`)
  return [evaluationText(results), ...notes, 'Written:', ...written].join('\n')
}
