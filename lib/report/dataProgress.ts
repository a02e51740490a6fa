import type { DataProgress } from '../data/options.js'
import { formatCount, formatPercent } from '../text/format.js'
import { formatBytes, formatDuration, formatRate } from '../text/formatUnits.js'
import { type ProgressStream, progressLine } from './progressLine.js'

const verbs = { download: 'Downloading', hash: 'Reading', split: 'Splitting', encode: 'Tokenizing' } as const

/** Shows how far the preparation of data is, with rate and time left of its phase. */
export function dataProgressReporter(
  stream: ProgressStream,
  clock: () => number = () => performance.now() / 1000,
): { update(progress: DataProgress): void; end(): void } {
  let start = { phase: '', time: clock(), bytes: 0, total: 0 }
  const line = progressLine<DataProgress>(
    stream,
    (progress, now) => describe(progress, progress.bytesDone - start.bytes, now - start.time),
    clock,
  )
  return {
    update(progress) {
      const { phase, bytesDone, bytesTotal: total } = progress
      const isDownload = phase === 'download'
      // Repositories are fetched one after the other, and what an earlier run fetched has no rate.
      if (start.phase !== phase || (isDownload && start.total !== total)) {
        start = { phase, time: clock(), bytes: isDownload ? bytesDone : 0, total }
      }
      line.update(progress)
    },
    end: line.end,
  }
}

function describe(progress: DataProgress, bytes: number, seconds: number): { fraction: number; text: string } {
  const { phase, bytesDone, bytesTotal, rowsDone, tokensDone } = progress
  const fraction = bytesTotal > 0 ? bytesDone / bytesTotal : 1
  const left = bytes > 0 ? formatDuration((seconds * (bytesTotal - bytesDone)) / bytes) : '?'
  const rate = phase === 'encode' ? tokenRate(tokensDone, seconds) : formatRate(bytes, seconds)
  const rows = rowsDone > 0 ? `${formatCount(rowsDone)} rows  ` : ''
  const text = `${verbs[phase]}  ${formatPercent(fraction)} of ${formatBytes(bytesTotal)}  ${rows}${rate}  ${left} left`
  return { fraction, text }
}

const tokenRate = (tokens: number, seconds: number): string =>
  seconds > 0 ? `${formatCount(Math.round(tokens / seconds))} tokens/s` : '-'
