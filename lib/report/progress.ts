import type { Progress } from '../fusion/progress.js'
import { formatPercent } from '../text/format.js'
import { formatBytes, formatDuration, formatRate } from '../text/formatUnits.js'
import { type ProgressStream, progressLine } from './progressLine.js'

export type { ProgressStream } from './progressLine.js'

/** Shows how far a fusion is, with rate and time left. */
export function progressReporter(
  stream: ProgressStream,
  clock: () => number = () => performance.now() / 1000,
): { update(progress: Progress): void; end(): void } {
  const started = clock()
  return progressLine<Progress>(stream, (progress, now) => describe(progress, now - started), clock)
}

function describe(progress: Progress, seconds: number): { fraction: number; text: string } {
  const { bytesDone, bytesTotal, tensorsDone, tensorsTotal } = progress
  const fraction = bytesTotal > 0 ? bytesDone / bytesTotal : 1
  const left = bytesDone > 0 ? formatDuration((seconds * (bytesTotal - bytesDone)) / bytesDone) : '?'
  const text =
    `${formatPercent(fraction)}  ${tensorsDone}/${tensorsTotal} tensors  ` +
    `${formatBytes(bytesDone)} of ${formatBytes(bytesTotal)}  ${formatRate(bytesDone, seconds)}  ${left} left`
  return { fraction, text }
}
