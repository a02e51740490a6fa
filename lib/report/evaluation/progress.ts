import type { EvaluationProgress } from '../../evaluate/runEvaluation.js'
import { formatCount, formatPercent, printable } from '../../text/format.js'
import { formatDuration } from '../../text/formatUnits.js'
import { describeOpening } from '../openingText.js'
import { type ProgressStream, progressLine } from '../progressLine.js'

type Answers = Extract<EvaluationProgress, { phase: 'answers' }>
type Opening = Extract<EvaluationProgress, { phase: 'open' }>

/** Shows how far an evaluation is, with rate and time left, and what it has to say in between. */
export function evaluationReporter(
  stream: ProgressStream,
  clock: () => number = () => performance.now() / 1000,
): { update(progress: EvaluationProgress): void; print(text: string): void; end(): void } {
  const line = progressLine<Answers | Opening>(stream, describe, clock)
  const print = (text: string) => {
    line.end()
    stream.write(`${text.split('\n').map(printable).join('\n')}\n`)
  }
  return {
    update(progress) {
      if (progress.phase === 'note') print(`Note: ${progress.text}`)
      else line.update(progress)
    },
    print,
    end: line.end,
  }
}

function describe(progress: Answers | Opening): { fraction: number; text: string } {
  return progress.phase === 'open' ? describeOpening(progress.model, progress) : describeAnswers(progress)
}

function describeAnswers(progress: Answers): { fraction: number; text: string } {
  const { done, total, stored, failed, graded, tokens, seconds } = progress
  const fraction = total > 0 ? done / total : 1
  const came = done - stored
  const left = came > 0 ? formatDuration((seconds * (total - done)) / came) : '?'
  const rate = seconds > 0 ? `${formatCount(Math.round(tokens / seconds))} tokens/s` : '-'
  const behind = done - graded > 1 ? `  ${graded} graded` : ''
  const failures = failed > 0 ? `  ${failed} failed` : ''
  const text = `${formatPercent(fraction)}  ${done}/${total} answers${behind}${failures}  ${rate}  ${left} left`
  return { fraction, text }
}

/** Shows how far a grading is. */
export function regradeReporter(
  stream: ProgressStream,
  clock: () => number = () => performance.now() / 1000,
): { update(progress: { graded: number; total: number; seconds: number }): void; end(): void } {
  return progressLine<{ graded: number; total: number; seconds: number }>(
    stream,
    ({ graded, total, seconds }) => {
      const left = graded > 0 ? formatDuration((seconds * (total - graded)) / graded) : '?'
      const rate = seconds > 0 ? `${formatCount(Math.round(graded / seconds))} answers/s` : '-'
      const fraction = total > 0 ? graded / total : 1
      return { fraction, text: `${formatPercent(fraction)}  ${graded}/${total} graded  ${rate}  ${left} left` }
    },
    clock,
  )
}
