import type { SelectionProgress } from '../../select/funnel.js'
import { formatCount, formatPercent } from '../../text/format.js'
import { formatBytes, formatDuration, formatRate } from '../../text/formatUnits.js'
import { type ProgressStream, progressLine } from '../progressLine.js'

const verbs = { hash: 'Reading', join: 'Joining', select: 'Selecting', write: 'Writing' } as const

/** Shows how far a selection is, with rate and time left of its phase. */
export function selectionReporter(
  stream: ProgressStream,
  clock: () => number = () => performance.now() / 1000,
): { update(progress: SelectionProgress): void; end(): void } {
  let [phase, started] = ['', clock()]
  const line = progressLine<SelectionProgress>(stream, (progress, now) => describe(progress, now - started), clock)
  return {
    update(progress) {
      if (progress.phase !== phase) {
        phase = progress.phase
        started = clock()
      }
      line.update(progress)
    },
    end: line.end,
  }
}

function describe(progress: SelectionProgress, seconds: number): { fraction: number; text: string } {
  const { phase, done, total, rowsDone, rowsKept } = progress
  const fraction = total > 0 ? done / total : 1
  const left = done > 0 ? formatDuration((seconds * (total - done)) / done) : '?'
  const size = phase === 'write' ? `${formatCount(total)} rows` : formatBytes(total)
  const rows = phase === 'select' ? `${formatCount(rowsDone)} rows, ${formatCount(rowsKept)} kept  ` : ''
  const rate =
    phase === 'select' || phase === 'write'
      ? rowRate(phase === 'select' ? rowsDone : done, seconds)
      : formatRate(done, seconds)
  return { fraction, text: `${verbs[phase]}  ${formatPercent(fraction)} of ${size}  ${rows}${rate}  ${left} left` }
}

const rowRate = (rows: number, seconds: number): string =>
  seconds > 0 ? `${formatCount(Math.round(rows / seconds))} rows/s` : '-'
