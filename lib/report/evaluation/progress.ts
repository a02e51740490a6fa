import type { ReadingProgress } from '../../evaluate/benchmarks/openBenchmark.js'
import type { RegradeProgress } from '../../evaluate/regrade.js'
import type { EvaluationProgress } from '../../evaluate/runEvaluation.js'
import { formatCount, formatPercent, printable } from '../../text/format.js'
import { formatBytes, formatDuration, formatRate } from '../../text/formatUnits.js'
import { describeOpening } from '../openingText.js'
import { type ProgressStream, progressLine } from '../progressLine.js'

type Answers = Extract<EvaluationProgress, { phase: 'answers' }>
type Opening = Extract<EvaluationProgress, { phase: 'open' }>
type Grading = Extract<RegradeProgress, { phase: 'grades' }>

/** Shows how far an evaluation is, with rate and time left, and what it has to say in between. */
export function evaluationReporter(
  stream: ProgressStream,
  clock: () => number = () => performance.now() / 1000,
): { update(progress: EvaluationProgress): void; print(text: string): void; end(): void } {
  const line = progressLine<ReadingProgress | Answers | Opening>(stream, describe, clock)
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

function describe(progress: ReadingProgress | Answers | Opening): { fraction: number; text: string } {
  if (progress.phase === 'read') return describeReading(progress)
  return progress.phase === 'open' ? describeOpening(progress.model, progress) : describeAnswers(progress)
}

function describeReading({ benchmark, done, total, seconds }: ReadingProgress): { fraction: number; text: string } {
  const fraction = total > 0 ? done / total : 1
  const left = done > 0 ? formatDuration((seconds * (total - done)) / done) : '?'
  const far = `${formatPercent(fraction)} of ${formatBytes(total)}`
  return { fraction, text: `${printable(benchmark)}: reading  ${far}  ${formatRate(done, seconds)}  ${left} left` }
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

/** Shows how far a regrading is. */
export function regradeReporter(
  stream: ProgressStream,
  clock: () => number = () => performance.now() / 1000,
): { update(progress: RegradeProgress): void; end(): void } {
  return progressLine<RegradeProgress>(
    stream,
    (progress) => (progress.phase === 'read' ? describeReading(progress) : describeGrading(progress)),
    clock,
  )
}

function describeGrading({ graded, total, seconds }: Grading): { fraction: number; text: string } {
  const left = graded > 0 ? formatDuration((seconds * (total - graded)) / graded) : '?'
  const rate = seconds > 0 ? `${formatCount(Math.round(graded / seconds))} answers/s` : '-'
  const fraction = total > 0 ? graded / total : 1
  return { fraction, text: `${formatPercent(fraction)}  ${graded}/${total} graded  ${rate}  ${left} left` }
}
