import type { TeachingAnswers, TeachingProgress } from '../../teach/runTeaching.js'
import { formatCount, formatPercent, printable } from '../../text/format.js'
import { formatDuration } from '../../text/formatUnits.js'
import { describeOpening } from '../openingText.js'
import { type ProgressStream, progressLine } from '../progressLine.js'

type Shown = Exclude<TeachingProgress, { phase: 'note' }>

/** Shows how far a teaching is: tokens a second, the accepted share, cost and time left, and what it has to say in between. */
export function teachingReporter(
  stream: ProgressStream,
  clock: () => number = () => performance.now() / 1000,
): { update(progress: TeachingProgress): void; print(text: string): void; end(): void } {
  const line = progressLine<Shown>(
    stream,
    (progress) => (progress.phase === 'open' ? describeOpening('teacher', progress) : describeAnswers(progress)),
    clock,
  )
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

export function describeAnswers(progress: TeachingAnswers): { fraction: number; text: string } {
  const { done, total, stored, checked, accepted, failed, tokens, cost, seconds } = progress
  const fraction = total > 0 ? done / total : 1
  const came = done - stored
  const parts = [
    formatPercent(fraction),
    `${done}/${total} questions`,
    `${formatPercent(checked > 0 ? accepted / checked : 0)} of ${formatCount(checked)} answers accepted`,
    ...(failed > 0 ? [`${failed} failed`] : []),
    seconds > 0 ? `${formatCount(Math.round(tokens / seconds))} tokens/s` : '-',
    ...(cost === null ? [] : [`cost ${cost.toFixed(2)}`]),
    `${came > 0 ? formatDuration((seconds * (total - done)) / came) : '?'} left`,
  ]
  return { fraction, text: parts.join('  ') }
}
